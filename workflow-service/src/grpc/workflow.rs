//! WorkflowService.

use std::{pin::Pin, time::Duration};

use futures::{Stream, stream};
use service_runtime::{Deadline, Listing, RequestContext};
use tokio::select;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use weft_proto::{
    common::v1::PayloadForm,
    workflow::v1::{
        CancelRunRequest, CancelRunResponse, GetRunRequest, GetRunResponse, InvokeRunRequest,
        InvokeRunResponse, ListEntrypointsRequest, ListEntrypointsResponse, ListRunsRequest,
        ListRunsResponse, ListTasksRequest, ListTasksResponse, ResumeRunRequest, ResumeRunResponse,
        RetryRunRequest, RetryRunResponse, StartRunRequest, StartRunResponse, StreamRunRequest,
        StreamRunResponse, WaitRunRequest, WaitRunResponse,
        workflow_service_server::WorkflowService,
    },
};

use super::{
    page,
    request::{self, Target},
    response::{self, Payloads},
    status,
};
use crate::{
    domain::{Run, RunId, StreamMode},
    engine::{Engine, Follower, Watch},
    store::Retry,
};

/// Runs of a page, unless the caller asks for fewer or more.
const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 1000;
/// What a waiting call leaves of its deadline, so that its answer arrives before it: a tenth, at
/// most this.
const LONGEST_MARGIN: Duration = Duration::from_millis(250);
/// How long calls go on waiting for their run once a drain has begun. Well within the drain's own
/// bound, so that they are answered.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// Form of payloads where a request cannot ask for one.
const SERVERS_CHOICE: Payloads = Payloads::In(PayloadForm::Unspecified);

/// Workflows serves WorkflowService.
#[derive(Clone)]
pub struct Workflows {
    engine: Engine,
    draining: CancellationToken,
    default_timeout: Option<Duration>,
}

impl Workflows {
    /// Serves the runs of this engine. Streams end when `draining` is cancelled. Runs that name no
    /// timeout have `default_timeout`, where zero is none.
    pub fn new(engine: Engine, draining: CancellationToken, default_timeout: Duration) -> Self {
        let default_timeout = (!default_timeout.is_zero()).then_some(default_timeout);
        Self {
            engine,
            draining,
            default_timeout,
        }
    }

    async fn wait(&self, context: &RequestContext, watch: Watch) -> Result<Run, Status> {
        let id = watch.id();
        let drained = async {
            self.draining.cancelled().await;
            tokio::time::sleep(DRAIN_PATIENCE).await;
        };
        select! {
            rested = watch.rest(patience(context.deadline)) => {
                rested.map_err(status::store)?.ok_or_else(|| status::no_such_run(id))
            }
            () = drained => Err(status::shutting_down_before_rest(id)),
        }
    }

    async fn follow(
        &self,
        context: &RequestContext,
        id: RunId,
        after: i64,
    ) -> Result<Follower, Status> {
        let followed = self.engine.follow(context.tenant(), id, after).await;
        followed
            .map_err(status::store)?
            .ok_or_else(|| status::no_such_run(id))
    }
}

#[tonic::async_trait]
impl WorkflowService for Workflows {
    type StreamRunStream = Pin<Box<dyn Stream<Item = Result<StreamRunResponse, Status>> + Send>>;

    async fn list_entrypoints(
        &self,
        _: Request<ListEntrypointsRequest>,
    ) -> Result<Response<ListEntrypointsResponse>, Status> {
        let entrypoints = self
            .engine
            .entrypoints()
            .iter()
            .map(response::entrypoint)
            .collect();
        Ok(Response::new(ListEntrypointsResponse { entrypoints }))
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        let context = RequestContext::of(&request);
        let tasks = self.engine.tasks(context.tenant());
        let tasks = tasks.iter().map(response::task).collect();
        Ok(Response::new(ListTasksResponse { tasks }))
    }

    async fn start_run(
        &self,
        request: Request<StartRunRequest>,
    ) -> Result<Response<StartRunResponse>, Status> {
        let context = RequestContext::of(&request);
        let new = request::new_run(request.into_inner(), self.default_timeout);
        let new = new.map_err(status::invalid)?;
        let started = self.engine.start_run(context.tenant(), new).await;
        let run = started.map_err(|error| status::not_started(error, ""))?;
        let run = response::run(&run, SERVERS_CHOICE);
        Ok(Response::new(StartRunResponse { run: Some(run) }))
    }

    async fn invoke_run(
        &self,
        request: Request<InvokeRunRequest>,
    ) -> Result<Response<InvokeRunResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let form = request::payload_form(request.payload_form);
        let new = request::nested_run(request.start, self.default_timeout);
        let (form, new) = request::both(form, new).map_err(status::invalid)?;
        let started = self.engine.start_and_watch(context.tenant(), new).await;
        let watch = started.map_err(|error| status::not_started(error, "start"))?;
        let run = self.wait(&context, watch).await?;
        let run = response::run(&run, Payloads::In(form));
        Ok(Response::new(InvokeRunResponse { run: Some(run) }))
    }

    async fn stream_run(
        &self,
        request: Request<StreamRunRequest>,
    ) -> Result<Response<Self::StreamRunStream>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let form = request::payload_form(request.payload_form);
        let modes = request::stream_modes(&request.modes);
        let after = request::after_sequence(request.after_sequence);
        let target = request::target(request.target, self.default_timeout);
        let shown = request::both(form, modes);
        let what = request::both(after, target);
        let ((form, modes), (after, target)) =
            request::both(shown, what).map_err(status::invalid)?;
        let follower = match target {
            Target::Join(id) => self.follow(&context, id, after).await?,
            Target::Start(new) => {
                let started = self
                    .engine
                    .start_and_follow(context.tenant(), *new, after)
                    .await;
                started.map_err(|error| status::not_started(error, "start"))?
            }
        };
        let draining = self.draining.clone();
        Ok(Response::new(Box::pin(events(Reading {
            follower,
            modes,
            form,
            after,
            draining,
        }))))
    }

    async fn get_run(
        &self,
        request: Request<GetRunRequest>,
    ) -> Result<Response<GetRunResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let form = request::payload_form(request.payload_form);
        let id = request::run_id(&request.run_id);
        let (form, id) = request::both(form, id).map_err(status::invalid)?;
        let run = self
            .engine
            .run(context.tenant(), id)
            .await
            .map_err(status::store)?;
        let run = run.ok_or_else(|| status::no_such_run(id))?;
        let run = response::run(&run, Payloads::In(form));
        Ok(Response::new(GetRunResponse { run: Some(run) }))
    }

    async fn wait_run(
        &self,
        request: Request<WaitRunRequest>,
    ) -> Result<Response<WaitRunResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let form = request::payload_form(request.payload_form);
        let id = request::run_id(&request.run_id);
        let (form, id) = request::both(form, id).map_err(status::invalid)?;
        let watch = self.engine.watch(context.tenant(), id).await;
        let watch = watch
            .map_err(status::store)?
            .ok_or_else(|| status::no_such_run(id))?;
        let run = self.wait(&context, watch).await?;
        let run = response::run(&run, Payloads::In(form));
        Ok(Response::new(WaitRunResponse { run: Some(run) }))
    }

    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let filter = request::run_filter(&request);
        let size = request::page_size(request.page_size, DEFAULT_PAGE, MAX_PAGE);
        let (filter, size) = request::both(filter, size).map_err(status::invalid)?;
        let described = format!("{filter:?}");
        let parts = ["runs", context.tenant().as_str(), &described];
        let listing = Listing::new(self.engine.store().secret(), parts);
        let before =
            page::uuid(&listing, &request.page_token).map_err(status::foreign_page_token)?;
        let runs = self
            .engine
            .runs(context.tenant(), filter, before.map(RunId), size + 1)
            .await;
        let mut runs = runs.map_err(status::store)?;
        let is_more = runs.len() > size as usize;
        runs.truncate(size as usize);
        let last = runs.last().filter(|_| is_more);
        let next_page_token = last
            .map(|last| listing.token(last.id.0.as_bytes()))
            .unwrap_or_default();
        let runs = runs
            .iter()
            .map(|run| response::run(run, Payloads::Omitted))
            .collect();
        Ok(Response::new(ListRunsResponse {
            runs,
            next_page_token,
        }))
    }

    async fn resume_run(
        &self,
        request: Request<ResumeRunRequest>,
    ) -> Result<Response<ResumeRunResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let id = request::run_id(&request.run_id);
        let answers = request::answers(request.resume);
        let (id, answers) = request::both(id, answers).map_err(status::invalid)?;
        let run = self.engine.answer_run(context.tenant(), id, answers).await;
        let run = response::run(&run.map_err(status::store)?, SERVERS_CHOICE);
        Ok(Response::new(ResumeRunResponse { run: Some(run) }))
    }

    async fn retry_run(
        &self,
        request: Request<RetryRunRequest>,
    ) -> Result<Response<RetryRunResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let id = request::run_id(&request.run_id).map_err(status::invalid)?;
        let retry = Retry {
            version: (!request.version.is_empty()).then(|| request.version.into()),
            is_branch: request.branch,
        };
        let run = self.engine.retry_run(context.tenant(), id, retry).await;
        let run = run.map_err(|error| status::not_started(error, ""))?;
        let run = response::run(&run, SERVERS_CHOICE);
        Ok(Response::new(RetryRunResponse { run: Some(run) }))
    }

    async fn cancel_run(
        &self,
        request: Request<CancelRunRequest>,
    ) -> Result<Response<CancelRunResponse>, Status> {
        let context = RequestContext::of(&request);
        let request = request.into_inner();
        let id = request::run_id(&request.run_id);
        let reason = request::cancel_reason(&request.reason);
        let (id, reason) = request::both(id, reason).map_err(status::invalid)?;
        let run = self.engine.cancel_run(context.tenant(), id, reason).await;
        let run = response::run(&run.map_err(status::store)?, SERVERS_CHOICE);
        Ok(Response::new(CancelRunResponse { run: Some(run) }))
    }
}

/// How long a call with this deadline waits.
fn patience(deadline: Deadline) -> Duration {
    let remaining = deadline.remaining();
    remaining.saturating_sub((remaining / 10).min(LONGEST_MARGIN))
}

/// A stream under way.
struct Reading {
    follower: Follower,
    modes: Vec<StreamMode>,
    form: PayloadForm,
    /// Number of the last event that was read, shown or not.
    after: i64,
    draining: CancellationToken,
}

fn events(reading: Reading) -> impl Stream<Item = Result<StreamRunResponse, Status>> + Send {
    stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match next_event(&mut reading).await {
            Ok(None) => None,
            Ok(Some(event)) => Some((Ok(event), Some(reading))),
            Err(status) => Some((Err(status), None)),
        }
    })
}

/// The next event of the modes asked for.
async fn next_event(reading: &mut Reading) -> Result<Option<StreamRunResponse>, Status> {
    loop {
        let event = select! {
            biased;
            event = reading.follower.next() => event.map_err(status::store)?,
            () = reading.draining.cancelled() => {
                return Err(status::shutting_down(reading.after));
            }
        };
        let Some(event) = event else { return Ok(None) };
        reading.after = event.sequence;
        if event.kind.is_shown_in(&reading.modes) {
            let event = response::event(&event, reading.form);
            return Ok(Some(StreamRunResponse { event: Some(event) }));
        }
    }
}
