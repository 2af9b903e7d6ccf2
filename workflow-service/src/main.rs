//! The workflow-service process.

use std::process::ExitCode;

use workflow_service::WorkflowService;

fn main() -> ExitCode {
    service_runtime::run::<WorkflowService>()
}
