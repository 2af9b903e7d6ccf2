//! The events of a run, as a stream with bounded waits.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tonic::{Request, Status, Streaming, transport::Channel};
use weft_proto::{
    common::v1::PayloadForm,
    workflow::v1::{
        Event, StartRunRequest, StreamMode, StreamRunRequest, StreamRunResponse, event::Kind,
        stream_run_request::Target, task_event::Step,
        workflow_service_client::WorkflowServiceClient,
    },
};

use crate::within;

/// Every mode that shows events that are kept for as long as their run: all but pieces of messages
/// and what user code writes.
pub const DURABLE: [StreamMode; 5] = [
    StreamMode::Values,
    StreamMode::Updates,
    StreamMode::Tasks,
    StreamMode::Checkpoints,
    StreamMode::States,
];

/// A stream of one run's events.
#[derive(Debug)]
pub struct Events(Streaming<StreamRunResponse>);

impl Events {
    /// Starts a run and follows it.
    ///
    /// # Errors
    /// The status that the call was refused with.
    pub async fn start(
        client: &mut WorkflowServiceClient<Channel>,
        run: StartRunRequest,
        modes: &[StreamMode],
    ) -> Result<Self, Status> {
        Self::open(client, Target::Start(run), modes, 0, None).await
    }

    /// Follows a run from after the event `after_sequence`.
    ///
    /// # Errors
    /// The status that the call was refused with.
    pub async fn join(
        client: &mut WorkflowServiceClient<Channel>,
        run_id: &str,
        modes: &[StreamMode],
        after_sequence: i64,
    ) -> Result<Self, Status> {
        let target = Target::RunId(run_id.to_owned());
        Self::open(client, target, modes, after_sequence, None).await
    }

    /// Follows a run from its beginning, with a deadline that the service is told.
    ///
    /// # Errors
    /// The status that the call was refused with.
    pub async fn join_for(
        client: &mut WorkflowServiceClient<Channel>,
        run_id: &str,
        modes: &[StreamMode],
        deadline: Duration,
    ) -> Result<Self, Status> {
        let target = Target::RunId(run_id.to_owned());
        Self::open(client, target, modes, 0, Some(deadline)).await
    }

    async fn open(
        client: &mut WorkflowServiceClient<Channel>,
        target: Target,
        modes: &[StreamMode],
        after_sequence: i64,
        deadline: Option<Duration>,
    ) -> Result<Self, Status> {
        let mut request = Request::new(StreamRunRequest {
            target: Some(target),
            modes: modes.iter().map(|&mode| mode.into()).collect(),
            after_sequence,
            payload_form: PayloadForm::Text.into(),
        });
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        Ok(Self(client.stream_run(request).await?.into_inner()))
    }

    /// The next event; `None` at the end of the stream.
    ///
    /// # Errors
    /// If the stream breaks, or nothing comes in time.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        match within("an event", self.0.message()).await?? {
            Some(response) => Ok(Some(response.event.context("a response without an event")?)),
            None => Ok(None),
        }
    }

    /// The next event for which `pick` finds something.
    ///
    /// # Errors
    /// If the stream ends or breaks before, or nothing comes in time.
    pub async fn find<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> Result<T> {
        while let Some(event) = self.next().await? {
            if let Some(found) = pick(&event) {
                return Ok(found);
            }
        }
        anyhow::bail!("the stream ended before the event that was waited for")
    }

    /// All events to the end of the stream.
    ///
    /// # Errors
    /// If the stream breaks, or stands still for too long.
    pub async fn rest(mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

/// Whether an event is kept for as long as its run: what is under way is not.
#[must_use]
pub fn is_durable(event: &Event) -> bool {
    match &event.kind {
        Some(Kind::Task(task)) => !matches!(task.step(), Step::Started | Step::Retrying),
        Some(Kind::Message(_) | Kind::Custom(_) | Kind::Warning(_) | Kind::Gap(_)) | None => false,
        Some(_) => true,
    }
}

/// The step that an event tells of, if it is `step` of `task`: the attempt.
#[must_use]
pub fn attempt(event: &Event, task: &str, step: Step) -> Option<i32> {
    match &event.kind {
        Some(Kind::Task(event)) if event.task == task && event.step() == step => {
            Some(event.attempt)
        }
        _ => None,
    }
}

/// The tasks whose results were recorded, in order, if `events` hold updates; the entrypoint's
/// own name stands for its output.
#[must_use]
pub fn recorded(events: &[Event]) -> Vec<&str> {
    let tasks = events.iter().filter_map(|event| match &event.kind {
        Some(Kind::Update(update)) => Some(update.task.as_str()),
        _ => None,
    });
    tasks.collect()
}
