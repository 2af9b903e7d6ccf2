//! `grpc.health.v1.Health`, answered from [`Readiness`].

use std::collections::HashSet;

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio_stream::wrappers::WatchStream;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_server::Health,
};

use crate::{
    StatusBuilder,
    readiness::{Readiness, State},
    status::DOMAIN,
};

/// Answers for the server (`""`) and each of its services, which are ready together.
///
/// `tonic-health` has such a service, but it starts as SERVING, and learns of changes later
/// than who made them.
pub(crate) struct HealthService {
    readiness: Readiness,
    services: HashSet<&'static str>,
}

impl HealthService {
    pub(crate) fn new(readiness: Readiness, services: &[&'static str]) -> Self {
        Self {
            readiness,
            services: services.iter().copied().chain([""]).collect(),
        }
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if self.services.contains(service.as_str()) {
            Ok(Response::new(response(status_of(&self.readiness.state()))))
        } else {
            let message = format!("there is no service `{service}`");
            Err(
                StatusBuilder::new(Code::NotFound, DOMAIN, "SERVICE_UNKNOWN", message)
                    .metadata("service", service)
                    .build(),
            )
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let statuses = if self.services.contains(request.get_ref().service.as_str()) {
            WatchStream::new(self.readiness.watch())
                .map(|state| status_of(&state))
                .boxed()
        } else {
            // The protocol says so: a service may come later.
            stream::once(async { ServingStatus::ServiceUnknown })
                .chain(stream::pending())
                .boxed()
        };
        let changes = statuses.scan(None, |last, status| {
            let changed = last.replace(status) != Some(status);
            async move { Some(changed.then(|| Ok(response(status)))) }
        });
        Ok(Response::new(
            changes.filter_map(std::future::ready).boxed(),
        ))
    }
}

fn status_of(state: &State) -> ServingStatus {
    match state {
        State::Ready => ServingStatus::Serving,
        State::NotReady(_) | State::Draining => ServingStatus::NotServing,
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
