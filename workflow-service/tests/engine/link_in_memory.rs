//! The link of a worker that is compiled into the service.

use weft_worker::Worker;
use workflow_service::engine::Engine;

/// What hosts the worker.
pub(crate) struct Link;

impl Link {
    pub(crate) async fn host(engine: &Engine, worker: Worker) -> Self {
        engine.host(worker);
        Self
    }

    pub(crate) async fn stop(&self) {}
}
