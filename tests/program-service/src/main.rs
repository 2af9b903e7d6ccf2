//! workflow-service with random programs compiled into it, beside the entrypoints that it comes with.
//! The tests kill it. What the programs do outside goes to the folder that `WEFT_TEST_EFFECTS` names.

use std::{env, net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use e2e::effects::{Effects, FOLDER_VARIABLE};
use random_programs::{Pace, entrypoints, offered};
use service_runtime::{BoxError, CommonArgs, Service};
use weft_worker::Worker;
use workflow_service::WorkflowService;

fn main() -> ExitCode {
    service_runtime::run::<ProgramService>()
}

/// ProgramService is workflow-service that hosts random programs.
struct ProgramService(WorkflowService);

impl Service for ProgramService {
    const NAME: &'static str = "program-service";
    const SIBLING_KEYS: &'static [&'static str] = WorkflowService::SIBLING_KEYS;
    type Args = <WorkflowService as Service>::Args;
    type Config = <WorkflowService as Service>::Config;

    fn common(args: &Self::Args) -> &CommonArgs {
        WorkflowService::common(args)
    }

    fn log_filter(config: &Self::Config) -> &str {
        WorkflowService::log_filter(config)
    }

    fn check(config: &Self::Config) -> Result<(), BoxError> {
        WorkflowService::check(config)
    }

    async fn bind(config: Self::Config) -> Result<Self, BoxError> {
        let folder = env::var(FOLDER_VARIABLE)?;
        let effects = Arc::new(Effects::open(Path::new(&folder))?);
        let [remembered, cached] = entrypoints(effects.clone(), Pace::REAL.cache);
        let service = WorkflowService::bind(config).await?;
        service.host(
            Worker::new()
                .entrypoint(remembered)
                .entrypoint(cached)
                .task(offered(effects)),
        );
        Ok(Self(service))
    }

    fn grpc_addr(&self) -> SocketAddr {
        self.0.grpc_addr()
    }

    fn admin_addr(&self) -> SocketAddr {
        self.0.admin_addr()
    }

    async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), BoxError> {
        self.0.serve(shutdown).await
    }
}
