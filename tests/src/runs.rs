//! Runs, from their start to their rest.

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;
use tonic::{Status, transport::Channel};
use weft_proto::{
    common::v1::PayloadForm,
    workflow::v1::{
        InvokeRunRequest, Run, StartRunRequest, WaitRunRequest, run::State,
        workflow_service_client::WorkflowServiceClient,
    },
};

use crate::PATIENCE;

/// A client of `WorkflowService`.
pub type Workflows = WorkflowServiceClient<Channel>;

/// Starts a run and returns it as it then is.
///
/// # Errors
/// If it is refused.
pub async fn start(client: &mut Workflows, run: StartRunRequest) -> Result<Run> {
    let response = client.start_run(run).await?.into_inner();
    response.run.context("a response without a run")
}

/// Starts a run and returns it once it rests.
///
/// # Errors
/// The status that the call was refused with.
pub async fn invoke(client: &mut Workflows, run: StartRunRequest) -> Result<Run, Status> {
    let request = InvokeRunRequest {
        start: Some(run),
        payload_form: PayloadForm::Text.into(),
    };
    let response = client.invoke_run(request).await?.into_inner();
    Ok(response.run.unwrap_or_default())
}

/// Waits until a run rests, whatever its end.
///
/// # Errors
/// If it does not in time.
pub async fn rested(client: &mut Workflows, run_id: &str) -> Result<Run> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = WaitRunRequest {
            run_id: run_id.to_owned(),
            payload_form: PayloadForm::Text.into(),
        };
        // Answers when the run rests, or at the call's own deadline.
        let response = client.wait_run(request).await?.into_inner();
        let run = response.run.context("a response without a run")?;
        match run.state() {
            State::Queued | State::Running | State::Waiting => {
                ensure!(Instant::now() < deadline, "the run does not rest: {run:?}");
            }
            _ => return Ok(run),
        }
    }
}

/// Waits until a run succeeds.
///
/// # Errors
/// If it comes to another end, or to none in time.
pub async fn succeeded(client: &mut Workflows, run_id: &str) -> Result<Run> {
    let run = rested(client, run_id).await?;
    ensure!(
        run.state() == State::Succeeded,
        "the run did not succeed: {run:?}"
    );
    Ok(run)
}
