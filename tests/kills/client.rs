//! Sees one run to its end: starts it, answers what it asks, cancels and retries it, and asks again
//! whenever the service is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::{PATIENCE, effects::repair, payload, runs::Workflows};
use rand::RngExt as _;
use random_programs::{BROKEN, FAIL, Output, answer};
use tokio::time::Instant;
use tonic::{Code, Response, Status, transport::Endpoint};
use tonic_types::StatusExt as _;
use weft_proto::{
    common::v1::PayloadForm,
    workflow::v1::{
        Answers, CancelRunRequest, Concurrency, ResumeRunRequest, RetryRunRequest, Run,
        WaitRunRequest, resume_run_request::Resume, run::State,
    },
};

use crate::plan::Plan;

/// Pause before a call is made again that the service was not there for.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest that a run may take in all, kills included.
const LIMIT: Duration = Duration::from_secs(240);

/// Ended is a plan and what came of it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) plan: Plan,
    /// Id of the run, unless it was refused.
    pub(crate) run_id: Option<String>,
    /// Whether it was retried as a branch.
    pub(crate) is_branch: bool,
    pub(crate) end: End,
}

/// End is how a run came to rest for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was not accepted, because its thread was busy.
    Refused,
    Succeeded(Output),
    /// It failed with this number.
    Failed(u64),
    Cancelled,
    /// A run that took its place deleted it.
    Deleted,
    /// It was not retried, because its thread went on meanwhile.
    LeftBehind,
}

pub(crate) struct Client {
    workflows: Workflows,
    folder: PathBuf,
    plan: Plan,
    answered: BTreeSet<String>,
    cancel: Option<Instant>,
    /// Whether a cancel was accepted since it was started or retried.
    is_cancelled: bool,
    retries: u32,
    is_branch: bool,
    begin: Instant,
}

impl Client {
    pub(crate) fn new(url: &str, folder: &Path, plan: Plan) -> Result<Self> {
        let channel = Endpoint::from_shared(url.to_owned())?
            .timeout(PATIENCE)
            .connect_lazy();
        Ok(Self {
            workflows: Workflows::new(channel),
            folder: folder.to_owned(),
            plan,
            answered: BTreeSet::new(),
            cancel: None,
            is_cancelled: false,
            retries: 0,
            is_branch: false,
            begin: Instant::now(),
        })
    }

    pub(crate) async fn attend(mut self) -> Result<Ended> {
        let named = format!("{:?}", self.plan);
        let ended = self.try_attend().await.context(named)?;
        Ok(Ended {
            run_id: ended.0,
            end: ended.1,
            plan: self.plan,
            is_branch: self.is_branch,
        })
    }

    async fn try_attend(&mut self) -> Result<(Option<String>, End)> {
        let id = match self.start().await? {
            Ok(id) => id,
            Err(end) => return Ok((None, end)),
        };
        let now = Instant::now();
        self.cancel = self.plan.cancel.map(|after| now + after);
        loop {
            ensure!(self.begin.elapsed() < LIMIT, "run {id} is stuck");
            if let Some(end) = self.watch(&id).await? {
                return Ok((Some(id), end));
            }
        }
    }

    /// The id of the run; its end if it is refused, or deleted before its client learnt of it.
    async fn start(&mut self) -> Result<Result<String, End>> {
        // Made once: the service knows a request again by all that it says.
        let request = self.plan.request(SystemTime::now().into());
        loop {
            let started = self.workflows.start_run(request.clone());
            match heard(started).await? {
                Heard::Answer(started) => {
                    return Ok(Ok(started.run.context("a response without a run")?.id));
                }
                Heard::Refusal(Code::Aborted, _)
                    if self.plan.concurrency == Concurrency::Reject =>
                {
                    return Ok(Err(End::Refused));
                }
                Heard::Refusal(Code::FailedPrecondition, reason) if reason == "RUN_DELETED" => {
                    return Ok(Err(End::Deleted));
                }
                // No worker has come back yet.
                Heard::Refusal(Code::NotFound, _) | Heard::Nothing => {}
                Heard::Refusal(code, _) => bail!("the run is refused: {code:?}"),
            }
            ensure!(self.begin.elapsed() < LIMIT, "it cannot be started");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn watch(&mut self, id: &str) -> Result<Option<End>> {
        let mut request = tonic::Request::new(WaitRunRequest {
            run_id: id.to_owned(),
            payload_form: PayloadForm::Text.into(),
        });
        if let Some(cancel) = self.cancel {
            let left = cancel.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.cancel(id).await;
            }
            request.set_timeout(left + PAUSE);
        }
        match heard(self.workflows.wait_run(request)).await? {
            Heard::Answer(waited) => {
                self.see(waited.run.context("a response without a run")?)
                    .await
            }
            Heard::Refusal(Code::NotFound, _) => Ok(Some(End::Deleted)),
            Heard::Refusal(code, _) => bail!("the run cannot be read: {code:?}"),
            Heard::Nothing => {
                tokio::time::sleep(PAUSE).await;
                Ok(None)
            }
        }
    }

    async fn cancel(&mut self, id: &str) -> Result<Option<End>> {
        let request = CancelRunRequest {
            run_id: id.to_owned(),
            reason: "not wanted any longer".to_owned(),
        };
        match heard(self.workflows.cancel_run(request)).await? {
            Heard::Answer(_) => (self.cancel, self.is_cancelled) = (None, true),
            Heard::Refusal(Code::FailedPrecondition, _) => self.cancel = None,
            Heard::Refusal(Code::NotFound, _) => return Ok(Some(End::Deleted)),
            Heard::Refusal(code, _) => bail!("the run cannot be cancelled: {code:?}"),
            Heard::Nothing => tokio::time::sleep(PAUSE).await,
        }
        Ok(None)
    }

    async fn see(&mut self, run: Run) -> Result<Option<End>> {
        let error = run.error.clone().unwrap_or_default();
        ensure!(
            !self.is_cancelled || matches!(run.state(), State::Running | State::Cancelled),
            "a cancel was accepted, and does not hold: {run:?}"
        );
        match (run.state(), error.reason.as_str()) {
            (State::Queued | State::Running | State::Waiting, _) => Ok(None),
            (State::Interrupted, _) => self.answer(run).await,
            (State::Succeeded, _) => {
                let output = payload::read(run.output.as_ref())?;
                Ok(Some(End::Succeeded(serde_json::from_value(output)?)))
            }
            (State::Failed, FAIL) => Ok(Some(End::Failed(error.message.parse()?))),
            (State::Failed, BROKEN) => {
                repair(&self.folder, &run.id)?;
                self.retry(run.id).await
            }
            // Its workers were killed once too often.
            (State::Paused, "WORKER_LOST") => self.retry(run.id).await,
            (State::Cancelled, _) if self.plan.retries_cancelled && self.retries == 0 => {
                self.retry(run.id).await
            }
            (State::Cancelled, _) => Ok(Some(End::Cancelled)),
            _ => bail!("the run rests: {run:?}"),
        }
    }

    async fn answer(&mut self, run: Run) -> Result<Option<End>> {
        let mut answers = BTreeMap::new();
        for question in &run.interrupts {
            ensure!(
                !self.answered.contains(&question.id),
                "{} is asked again, whose answer was accepted: {run:?}",
                question.id
            );
            if answers.is_empty() || self.plan.random.random() {
                let number = payload::read(question.value.as_ref())?.as_u64();
                let number = answer(number.context("the question is no number")?);
                answers.insert(question.id.clone(), payload::text(number.to_string()));
            }
        }
        let ids: Vec<String> = answers.keys().cloned().collect();
        let request = ResumeRunRequest {
            run_id: run.id,
            resume: Some(Resume::Answers(Answers {
                by_interrupt_id: answers.into_iter().collect(),
            })),
        };
        match heard(self.workflows.resume_run(request)).await? {
            Heard::Answer(_) => self.answered.extend(ids),
            // It was heard before, or a timer or a cancel came first: to be seen.
            Heard::Refusal(Code::FailedPrecondition | Code::NotFound, _) => {}
            Heard::Refusal(code, _) => bail!("the answers {ids:?} are refused: {code:?}"),
            Heard::Nothing => tokio::time::sleep(PAUSE).await,
        }
        Ok(None)
    }

    async fn retry(&mut self, run_id: String) -> Result<Option<End>> {
        self.retries += 1;
        self.is_cancelled = false;
        let mut request = RetryRunRequest {
            run_id,
            ..RetryRunRequest::default()
        };
        loop {
            match heard(self.workflows.retry_run(request.clone())).await? {
                Heard::Answer(_) => return Ok(None),
                Heard::Refusal(Code::FailedPrecondition, reason) => match reason.as_str() {
                    "THREAD_MOVED_ON" if self.plan.branches => {
                        request.branch = true;
                        self.is_branch = true;
                    }
                    "THREAD_MOVED_ON" => return Ok(Some(End::LeftBehind)),
                    "THREAD_IN_USE" => tokio::time::sleep(PAUSE).await,
                    // It was heard before.
                    _ => return Ok(None),
                },
                Heard::Refusal(Code::NotFound, _) => return Ok(Some(End::Deleted)),
                Heard::Refusal(code, _) => bail!("the run cannot be retried: {code:?}"),
                Heard::Nothing => tokio::time::sleep(PAUSE).await,
            }
            ensure!(self.begin.elapsed() < LIMIT, "it cannot be retried");
        }
    }
}

/// What came back of a call.
enum Heard<T> {
    Answer(T),
    /// The service does not do it, for this reason.
    Refusal(Code, String),
    /// The service was not there, or is gone: it may or may not have done it.
    Nothing,
}

async fn heard<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<Heard<T>> {
    match call.await {
        Ok(answer) => Ok(Heard::Answer(answer.into_inner())),
        Err(status) => match status.code() {
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown => {
                Ok(Heard::Nothing)
            }
            Code::Internal | Code::DataLoss | Code::Unimplemented => bail!("{status:?}"),
            code => {
                let details = status.get_error_details();
                let reason = details.error_info().map(|info| info.reason.clone());
                Ok(Heard::Refusal(code, reason.unwrap_or_default()))
            }
        },
    }
}
