//! Clients: each starts a run, answers what it asks, cancels and retries it, and remembers what it
//! was told across crashes.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use futures::future::join_all;
use rand::RngExt as _;
use random_programs::{Argument, BROKEN, FAIL, Output, answer};
use service_runtime::Tenant;
use weft_worker::{CallId, Failure, Json, json};
use workflow_service::{
    domain::{Concurrency, Run, RunId, RunState, ThreadId},
    engine::{Engine, NewRunRequest, StartError},
    store::{Answers, NewRun, RequestKey, Retry, StoreError},
};

use crate::{plan::Plan, world::World};

/// Longest wait of a client before it asks again.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Pause before a call that was refused for now is made again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Longest that an impatient client waits for the answer to a call.
const IMPATIENCE: Duration = Duration::from_secs(1);
/// Time after which a call that was given up has had its effect.
const DOUBT: Duration = Duration::from_secs(60);
/// Retries of a run that takes longer than it may: it gets on a little each time, or does not.
const MAX_RETRIES: u32 = 5;
/// Simulated time in which everything ends.
const LIMIT: Duration = Duration::from_secs(60 * 24 * 3600);

/// Progress is what a client knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The run that was accepted.
    pub(crate) id: Option<RunId>,
    /// Questions whose answers were accepted.
    answered: BTreeSet<CallId>,
    /// Whether a cancel was asked for.
    cancels: bool,
    /// Whether one was accepted since the run was started or retried.
    is_cancelled: bool,
    /// How often a retry was asked for.
    pub(crate) retries: u32,
    /// Whether its thread went on before a retry, and it is to be retried all the same.
    pub(crate) is_branch: bool,
    pub(crate) end: Option<End>,
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
    /// It took longer than it may, again and again.
    TimedOut,
    /// It was kept for as long as it is to be, and is gone.
    Expired,
}

/// Sees all runs to their ends.
pub(crate) async fn attend(engine: &Engine, world: &World) {
    let clients = world.plans().iter().map(|plan| Client {
        engine,
        world,
        plan,
    });
    join_all(clients.map(Client::attend)).await;
}

struct Client<'a> {
    engine: &'a Engine,
    world: &'a World,
    plan: &'a Plan,
}

impl Client<'_> {
    async fn attend(self) {
        loop {
            let progress = self.progress();
            match (progress.end, progress.id) {
                (Some(_), _) => return,
                (None, None) => self.start().await,
                (None, Some(id)) => self.watch(id).await,
            }
            if self.world.elapsed() > LIMIT {
                let progress = self.progress();
                self.world
                    .fail(format!("run {} is stuck: {progress:?}", self.plan.number));
                std::future::pending::<()>().await;
            }
        }
    }

    fn progress(&self) -> Progress {
        let mut state = self.world.state();
        state.progress.entry(self.plan.number).or_default().clone()
    }

    fn learn(&self, lesson: impl FnOnce(&mut Progress)) {
        let mut state = self.world.state();
        lesson(state.progress.entry(self.plan.number).or_default());
    }

    fn end(&self, end: End) {
        self.world
            .note(format!("run {} has ended: {end:?}", self.plan.number));
        self.learn(|progress| progress.end = Some(end));
    }

    /// The answer to a call; `None` if the client gave up on it.
    async fn patiently<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        if !self.plan.is_impatient {
            return Some(call.await);
        }
        let patience = IMPATIENCE.mul_f64(self.world.state().random.random());
        tokio::time::timeout(patience, call).await.ok()
    }

    async fn pause(&self) {
        self.world.pause(LONGEST_PAUSE).await;
    }

    fn wrong(&self, why: impl Into<String>) {
        self.world
            .fail(format!("run {}: {}", self.plan.number, why.into()));
    }

    async fn start(&self) {
        let plan = self.plan;
        let start = plan.start.saturating_sub(self.world.elapsed());
        tokio::time::sleep(start).await;
        let request = self.request();
        match self
            .patiently(self.engine.start_run(&Tenant::default(), request))
            .await
        {
            Some(Ok(run)) => {
                self.world.note(format!("run {} is accepted", plan.number));
                self.learn(|progress| progress.id = Some(run.id));
            }
            Some(Err(StartError::Store(StoreError::ThreadBusy { .. })))
                if plan.concurrency == Concurrency::Reject =>
            {
                self.end(End::Refused);
            }
            Some(Err(StartError::Store(StoreError::RunDeleted { run, .. }))) => self.gone(run),
            None
            | Some(Err(
                StartError::NoSuchEntrypoint { .. } | StartError::Store(StoreError::Unavailable(_)),
            )) => self.pause().await,
            Some(Err(error)) => self.wrong(format!("cannot be started: {error:?}")),
        }
    }

    fn request(&self) -> NewRunRequest {
        let plan = self.plan;
        let now = self.world.now();
        let argument = Argument {
            number: plan.argument(),
            program: plan.program.clone(),
        };
        NewRunRequest {
            entrypoint: plan.entrypoint().to_owned(),
            version: None,
            run: NewRun {
                id: self.world.run_id(plan.number),
                thread_id: ThreadId::parse(&plan.thread).unwrap(),
                entrypoint: plan.entrypoint().into(),
                version: "".into(),
                input: json::encode("the argument", &argument).unwrap(),
                config: json::from_text("{}").unwrap(),
                labels: BTreeMap::new(),
                branch_from: None,
                concurrency: plan.concurrency,
                durability: plan.durability,
                timeout: plan.timeout,
                start_after: plan.start_after.map(|delay| now.after(delay)),
                request: Some(RequestKey {
                    id: format!("request-{}", plan.number),
                    hash: [u8::try_from(plan.number).unwrap(); 32],
                    former_hash: None,
                    expire_time: now.after(LIMIT),
                }),
                claim: false,
                now,
            },
        }
    }

    async fn watch(&self, id: RunId) {
        let mut patience = PATIENCE;
        if let Some(cancel) = self.plan.cancel
            && !self.progress().cancels
        {
            patience = patience.min(cancel.saturating_sub(self.world.elapsed()));
            if patience.is_zero() {
                return self.cancel(id).await;
            }
        }
        match self.engine.wait(&Tenant::default(), id, patience).await {
            Ok(Some(run)) => self.see(run).await,
            Ok(None) => self.gone(id),
            Err(StoreError::Unavailable(_)) => self.pause().await,
            Err(error) => self.wrong(format!("cannot be read: {error:?}")),
        }
    }

    fn gone(&self, id: RunId) {
        if self.is_replaced(Concurrency::Rollback) {
            self.end(End::Deleted);
        } else if self.world.state().swept.has(id) {
            self.end(End::Expired);
        } else {
            self.wrong("was accepted and is gone");
        }
    }

    /// Whether another run may take the place of this one.
    fn is_replaced(&self, how: Concurrency) -> bool {
        let others = self.world.plans().iter();
        others
            .filter(|other| other.number != self.plan.number && other.thread == self.plan.thread)
            .any(|other| other.concurrency == how)
    }

    async fn see(&self, run: Run) {
        if self.progress().is_cancelled
            && !matches!(run.state, RunState::Running | RunState::Cancelled)
        {
            self.wrong(format!("is {:?}, after a cancel was accepted", run.state));
        }
        match run.state {
            RunState::Queued | RunState::Running | RunState::Waiting => {}
            RunState::Interrupted => self.answer(run).await,
            RunState::Paused => match &run.failure {
                Some(failure) if failure.reason == "WORKER_LOST" => self.retry(run.id).await,
                failure => self.wrong(format!("is paused: {failure:?}")),
            },
            RunState::Succeeded => {
                let output = run.output.as_ref().map(|output| output.get());
                match serde_json::from_str(output.unwrap_or_default()) {
                    Ok(output) => self.end(End::Succeeded(output)),
                    Err(error) => self.wrong(format!("returned {output:?}: {error}")),
                }
            }
            RunState::Failed => {
                let failure = run.failure.unwrap_or_else(Failure::cancelled);
                match failure.reason.as_str() {
                    BROKEN => {
                        self.world.outside().repair(run.id.0);
                        self.retry(run.id).await;
                    }
                    "RUN_TIMEOUT" if self.plan.timeout.is_some() => {
                        match self.progress().retries < MAX_RETRIES {
                            true => self.retry(run.id).await,
                            false => self.end(End::TimedOut),
                        }
                    }
                    FAIL => self.end(End::Failed(failure.message.parse().unwrap_or_default())),
                    _ => self.wrong(format!("failed: {failure:?}")),
                }
            }
            RunState::Cancelled => {
                let progress = self.progress();
                let is_wanted = progress.cancels
                    || self.is_replaced(Concurrency::Interrupt)
                    || self.is_replaced(Concurrency::Rollback);
                if !is_wanted {
                    self.wrong("is cancelled, and nobody wanted that");
                }
                if self.plan.retries_cancelled && progress.retries == 0 {
                    self.retry(run.id).await;
                } else {
                    self.end(End::Cancelled);
                }
            }
        }
    }

    async fn answer(&self, run: Run) {
        let progress = self.progress();
        for question in &run.interrupts {
            if progress.answered.contains(&question.id) {
                self.wrong(format!(
                    "asks {} again, whose answer was accepted",
                    question.id
                ));
            }
        }
        let mut answers = BTreeMap::new();
        let all = self.world.chance(0.5);
        for question in &run.interrupts {
            if all || answers.is_empty() || self.world.chance(0.5) {
                let number: u64 = question.value.get().parse().unwrap();
                let text = answer(number).to_string();
                answers.insert(question.id.clone(), json::from_text(text).unwrap());
            }
        }
        // Several people answer at once, each for himself.
        let count = match self.world.chance(0.3) {
            true => answers.len(),
            false => 1,
        };
        let mut shares = vec![BTreeMap::new(); count];
        for (at, answer) in answers.into_iter().enumerate() {
            shares[at % count].extend([answer]);
        }
        let answered = shares.into_iter().map(|share| self.give(run.id, share));
        join_all(answered).await;
    }

    async fn give(&self, id: RunId, answers: BTreeMap<CallId, Json>) {
        let ids: Vec<CallId> = answers.keys().cloned().collect();
        let (tenant, answers) = (Tenant::default(), Answers::ById(answers));
        let call = self.engine.answer_run(&tenant, id, answers);
        match self.patiently(call).await {
            Some(Ok(_)) => self.learn(|progress| progress.answered.extend(ids)),
            // An earlier call was heard, though its answer was not; or it was cancelled meanwhile.
            Some(Err(
                StoreError::NoSuchInterrupt { .. }
                | StoreError::WrongState { .. }
                | StoreError::NoSuchRun(_),
            )) => {}
            None | Some(Err(StoreError::Unavailable(_))) => self.pause().await,
            Some(Err(error)) => self.wrong(format!("cannot be answered: {error:?}")),
        }
    }

    async fn retry(&self, id: RunId) {
        self.learn(|progress| {
            progress.retries += 1;
            progress.is_cancelled = false;
        });
        let tenant = Tenant::default();
        let retry = Retry {
            is_branch: self.progress().is_branch,
            ..Retry::default()
        };
        let call = self.engine.retry_run(&tenant, id, retry);
        match self.patiently(call).await {
            Some(
                Ok(_)
                | Err(StartError::Store(StoreError::WrongState { .. } | StoreError::NoSuchRun(_))),
            ) => {}
            Some(Err(StartError::Store(StoreError::ThreadMovedOn { .. }))) => {
                match self.plan.branches {
                    true => self.learn(|progress| progress.is_branch = true),
                    false => self.end(End::LeftBehind),
                }
            }
            Some(Err(StartError::Store(StoreError::ThreadInUse { .. }))) => self.pause().await,
            // It may still be heard.
            None => tokio::time::sleep(DOUBT).await,
            Some(Err(StartError::Store(StoreError::Unavailable(_)))) => self.pause().await,
            Some(Err(error)) => self.wrong(format!("cannot be retried: {error:?}")),
        }
    }

    async fn cancel(&self, id: RunId) {
        let tenant = Tenant::default();
        let call = self.engine.cancel_run(&tenant, id, "not wanted any longer");
        match self.patiently(call).await {
            Some(Ok(_)) => self.learn(|progress| {
                progress.cancels = true;
                progress.is_cancelled = true;
            }),
            Some(Err(StoreError::WrongState { .. } | StoreError::NoSuchRun(_))) => {
                self.learn(|progress| progress.cancels = true);
            }
            None | Some(Err(StoreError::Unavailable(_))) => {
                // It may have been heard.
                self.learn(|progress| progress.cancels = true);
            }
            Some(Err(error)) => self.wrong(format!("cannot be cancelled: {error:?}")),
        }
    }
}
