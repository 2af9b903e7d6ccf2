//! The services on a socket, and who may call them.

use std::{fs, sync::Arc};

use anyhow::Result;
use qdrant_client::qdrant::{
    HealthCheckReply, HealthCheckRequest,
    collections_server::CollectionsServer,
    points_server::PointsServer,
    qdrant_server::{Qdrant, QdrantServer},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, async_trait,
    service::interceptor::InterceptedService,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::{Settings, calls::PointsService, catalog::Catalog, collections::CollectionsService};

struct Health {
    version: String,
}

#[async_trait]
impl Qdrant for Health {
    async fn health_check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckReply>, Status> {
        Ok(Response::new(HealthCheckReply {
            title: "qdrant-double".to_owned(),
            version: self.version.clone(),
            commit: None,
        }))
    }
}

/// Serves on `listener` until it is dropped.
///
/// # Errors
/// If the folder cannot be used, or the socket fails.
pub async fn serve(settings: Settings, listener: TcpListener) -> Result<()> {
    let Settings {
        folder,
        port: _,
        api_key,
        tls_certificate,
        tls_key,
        version,
        insist,
        slow_vectors,
        slow_copies,
    } = settings;
    let catalog = Arc::new(Catalog::load(folder, slow_copies)?);
    let admit = move |request: Request<()>| {
        let given = request.metadata().get("api-key");
        let given = given.and_then(|key| key.to_str().ok());
        match (&api_key, given) {
            (None, _) => Ok(request),
            (Some(asked), Some(given)) if asked == given => Ok(request),
            (Some(_), Some(_)) => Err(Status::unauthenticated("Invalid API key or JWT")),
            (Some(_), None) => Err(Status::unauthenticated(
                "Must provide an API key or an Authorization bearer token",
            )),
        }
    };
    let points = PointsServer::new(PointsService {
        catalog: catalog.clone(),
        insist,
        slow_vectors,
    });
    let points = points.max_decoding_message_size(usize::MAX);
    let collections = CollectionsServer::new(CollectionsService(catalog));
    let mut server = Server::builder();
    if let (Some(certificate), Some(key)) = (tls_certificate, tls_key) {
        let identity = Identity::from_pem(fs::read(certificate)?, fs::read(key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    server
        // Whoever asks for the version needs no key.
        .add_service(QdrantServer::new(Health { version }))
        .add_service(InterceptedService::new(collections, admit.clone()))
        .add_service(InterceptedService::new(points, admit))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}
