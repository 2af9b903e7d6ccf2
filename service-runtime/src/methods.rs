//! The methods that a server serves, with their instruments.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram, SharedString, counter, gauge, histogram};
use prost::{DecodeError, Message as _};
use prost_types::FileDescriptorSet;
use tonic::Code;

use crate::metrics::{HANDLED, HANDLING, IN_FLIGHT, STARTED};

/// Label of whatever callers make up, so that they cannot make up metrics.
const OTHER: &str = "_OTHER";

/// Packages of the services that this crate adds to every server.
const INFRASTRUCTURE: [&str; 2] = ["grpc.health.", "grpc.reflection."];

/// What layers need to know of a method; found in a request's extensions.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kind {
    /// Whether answers are streams.
    pub(crate) streaming: bool,
    /// Whether it is health or reflection: answered under overload and until the end.
    pub(crate) infrastructure: bool,
}

impl Kind {
    pub(crate) fn of<T>(request: &http::Request<T>) -> Self {
        request.extensions().get().copied().unwrap_or_default()
    }
}

/// One method of a served service, or all that are unknown.
pub(crate) struct Method {
    pub(crate) kind: Kind,
    service: SharedString,
    method: SharedString,
    started: Counter,
    handling: Histogram,
    in_flight: Gauge,
    /// By code, each made when it first occurs.
    handled: [OnceLock<Counter>; 17],
}

impl Method {
    fn new(service: &str, method: &str, streaming: bool) -> Self {
        let name = |text: &str| SharedString::from(text.to_owned());
        let labels = || {
            [
                ("grpc_service", name(service)),
                ("grpc_method", name(method)),
            ]
        };
        Self {
            kind: Kind {
                streaming,
                infrastructure: INFRASTRUCTURE
                    .iter()
                    .any(|package| service.starts_with(package)),
            },
            service: name(service),
            method: name(method),
            started: counter!(STARTED, &labels()),
            handling: histogram!(HANDLING, &labels()),
            in_flight: gauge!(IN_FLIGHT),
            handled: Default::default(),
        }
    }

    pub(crate) fn record_start(&self) {
        self.started.increment(1);
        self.in_flight.increment(1);
    }

    pub(crate) fn record_end(&self, code: Code, duration: Duration) {
        self.in_flight.decrement(1);
        self.handling.record(duration);
        if let Some(handled) = self.handled.get(code as usize) {
            let make = || {
                let labels = [
                    ("grpc_service", self.service.clone()),
                    ("grpc_method", self.method.clone()),
                    ("grpc_code", SharedString::const_str(name_of(code))),
                ];
                counter!(HANDLED, &labels)
            };
            handled.get_or_init(make).increment(1);
        }
    }
}

/// The methods of a server by path.
pub(crate) struct Methods {
    known: HashMap<String, Arc<Method>>,
    other: Arc<Method>,
}

impl Methods {
    /// The methods of the services `served`, as encoded descriptor sets define them.
    pub(crate) fn new(descriptors: &[&[u8]], served: &[&str]) -> Result<Self, DecodeError> {
        let mut known = HashMap::new();
        for encoded in descriptors {
            for file in FileDescriptorSet::decode(*encoded)?.file {
                for service in &file.service {
                    let name = format!("{}.{}", file.package(), service.name());
                    if !served.contains(&name.as_str()) {
                        continue;
                    }
                    for method in &service.method {
                        let path = format!("/{name}/{}", method.name());
                        let method = Method::new(&name, method.name(), method.server_streaming());
                        known.insert(path, Arc::new(method));
                    }
                }
            }
        }
        Ok(Self {
            known,
            other: Arc::new(Method::new(OTHER, OTHER, false)),
        })
    }

    /// The method at `path`, or the one that stands for all unknown ones.
    pub(crate) fn at(&self, path: &str) -> Arc<Method> {
        Arc::clone(self.known.get(path).unwrap_or(&self.other))
    }
}

/// `code` as gRPC's specification spells it.
pub(crate) fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
