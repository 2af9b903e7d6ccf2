//! What the code of an entrypoint can ask and do.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    Call, CallId, CallKind, Failure, Json, Task,
    call::hash_input,
    json,
    pending::{PendingQuestion, PendingSide, PendingTask},
    protocol::{Event, Outcome, StartRun},
    state::{ExecutionState, Scope},
};

/// Context is what the code of an entrypoint can ask and do. Cheap to clone.
///
/// Calls get their place in the journal when they are made, in program order. Futures that are joined
/// or raced make theirs in the same order in every replay; spawned tasks and threads do not, and
/// must not make any.
#[derive(Clone)]
pub struct Context {
    pub(crate) execution: Arc<ExecutionState>,
    pub(crate) scope: Arc<Scope>,
}

impl Context {
    pub(crate) fn new(execution: Arc<ExecutionState>) -> Self {
        Self {
            execution,
            scope: Arc::new(Scope::new(None, "".into())),
        }
    }

    fn start(&self) -> &StartRun {
        &self.execution.start
    }

    /// Id of the run.
    pub fn run_id(&self) -> Uuid {
        self.start().run_id
    }

    /// Thread of the run.
    pub fn thread_id(&self) -> &str {
        &self.start().thread_id
    }

    /// Times the run was handed to a worker, this one included.
    pub fn run_attempt(&self) -> u32 {
        self.start().attempt
    }

    /// What the thread's last run saved; `None` for the first run of a thread.
    ///
    /// # Errors
    /// `TYPE_MISMATCH` if it has another shape.
    pub fn previous<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let previous = self.start().previous.as_ref();
        previous
            .map(|previous| json::decode("what the last run saved", previous))
            .transpose()
    }

    /// Settings of the run.
    ///
    /// # Errors
    /// `TYPE_MISMATCH` if they have another shape.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        json::decode("the config", &self.start().config)
    }

    /// Calls a task. Its function starts when the result is first awaited, and is dropped with it.
    pub fn call<I, O>(&self, task: &Task<I, O>, input: I) -> TaskCall<O>
    where
        I: Serialize + DeserializeOwned + Send + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        let outcome = self
            .make(CallKind::Task, &task.name, "the argument", &input)
            .map(|(call, input)| {
                let made = self.execution.replay().make(&call);
                PendingTask {
                    execution: Arc::clone(&self.execution),
                    scope: Arc::clone(&self.scope),
                    call,
                    input,
                    retry: task.retry,
                    timeout: task.timeout,
                    function: Arc::clone(&task.function),
                }
                .outcome(made)
            });
        TaskCall::new(outcome)
    }

    /// Asks a question and waits for the answer, for as long as it takes: the run gives its worker
    /// back and is executed again once it is answered. Several questions can be open at once; each
    /// has an id of its own. `null` is an answer.
    pub fn interrupt<Q, A>(&self, question: &Q) -> TaskCall<A>
    where
        Q: Serialize + ?Sized,
        A: DeserializeOwned + Send + 'static,
    {
        let made = self.make(CallKind::Interrupt, "interrupt", "the question", question);
        let outcome = made.map(|(call, value)| {
            let made = self.execution.replay().make(&call);
            PendingQuestion {
                execution: Arc::clone(&self.execution),
                scope: Arc::clone(&self.scope),
                call,
                value,
            }
            .outcome(made)
        });
        TaskCall::new(outcome)
    }

    /// Waits for a time that goes on while the run has no worker and while the service is down.
    /// Nothing is held meanwhile, unless it is a few seconds. Fails with `CANCELLED` if the run is
    /// cancelled.
    pub fn sleep(
        &self,
        duration: Duration,
    ) -> impl Future<Output = Result<(), Failure>> + Send + 'static {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        // Both places are taken now: when the time has come is not the same in every replay.
        let (timer, wake) = (self.scope.next_call(), self.scope.next_call());
        let context = self.clone();
        async move {
            let clock = &context.execution.clock;
            let due = || clock.now_micros().saturating_add(micros);
            let due: i64 = context.side(timer.clone(), "sleep", due).await?;
            if !clock.until(due).is_zero() {
                let _waiting = context.scope.wait();
                let _timer = context.execution.set_timer(timer, due);
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(clock.until(due)) => {}
                    () = context.execution.cancelled.cancelled() => {}
                }
            }
            // Recorded too, so that a race against a timer has the same winner in every replay.
            context.side(wake, "wake", || ()).await
        }
    }

    /// The current time, as it was when this was first asked for. Fails with `CANCELLED` if the run
    /// is cancelled.
    pub fn now(&self) -> impl Future<Output = Result<SystemTime, Failure>> + Send + 'static {
        let (context, call) = (self.clone(), self.scope.next_call());
        async move {
            let clock = &context.execution.clock;
            let micros: i64 = context.side(call, "now", || clock.now_micros()).await?;
            Ok(UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
        }
    }

    /// A UUID that is the same in every replay, and no other call's. Derived from the run's id:
    /// nothing is recorded.
    pub fn uuid(&self) -> Uuid {
        Uuid::new_v5(
            &self.run_id(),
            format!("uuid/{}", self.scope.next_value()).as_bytes(),
        )
    }

    /// A number from 0 up to but not including 1 that is the same in every replay. Derived from the
    /// run's id: nothing is recorded.
    pub fn random(&self) -> f64 {
        let name = format!("random/{}/{}", self.run_id(), self.scope.next_value());
        let mut bits = [0; 8];
        for (to, from) in bits.iter_mut().zip(Sha256::digest(name)) {
            *to = from;
        }
        // The 53 bits that a double holds exactly.
        let mantissa = u64::from_le_bytes(bits) >> 11;
        mantissa as f64 / (1_u64 << 53) as f64
    }

    /// Writes to the run's custom stream. Nothing is recorded, and code is never held up: a reader
    /// that is too slow misses some.
    ///
    /// # Errors
    /// `NOT_SERIALIZABLE`.
    pub fn write<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Failure> {
        self.execution.send_event(Event::Custom {
            call: self.scope.caller.clone(),
            task: Arc::clone(&self.scope.task),
            value: json::encode("what is written", value)?,
        });
        Ok(())
    }

    /// Whether the run was cancelled. Calls then fail with `CANCELLED`; a task that takes long can
    /// ask here whether to go on.
    pub fn is_cancelled(&self) -> bool {
        self.execution.cancelled.is_cancelled()
    }

    /// Completes when the run is cancelled.
    pub async fn cancelled(&self) {
        self.execution.cancelled.cancelled().await;
    }

    /// A value that is recorded as it was first made.
    async fn side<T>(
        &self,
        id: CallId,
        name: &'static str,
        value: impl FnOnce() -> T,
    ) -> Result<T, Failure>
    where
        T: Serialize + DeserializeOwned,
    {
        let input_hash = hash_input(&json::null());
        let call = Call {
            id,
            kind: CallKind::Side,
            task: name.into(),
            input_hash,
        };
        let made = self.execution.replay().make(&call);
        let side = PendingSide {
            execution: &self.execution,
            scope: &self.scope,
            call,
        };
        let outcome = side
            .outcome(made, || json::encode("the value", &value()))
            .await?;
        json::decode("the recorded value", &outcome)
    }

    /// Gives a call its place. Fails if the argument is no JSON.
    fn make<T: Serialize + ?Sized>(
        &self,
        kind: CallKind,
        name: &str,
        what: &str,
        input: &T,
    ) -> Result<(Call, Json), Failure> {
        let (id, task) = (self.scope.next_call(), Arc::from(name));
        let input = json::encode(what, input).map_err(|failure| failure.of_call(&id, &task))?;
        let call = Call {
            id,
            kind,
            task,
            input_hash: hash_input(&input),
        };
        Ok((call, input))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("run_id", &self.run_id())
            .finish_non_exhaustive()
    }
}

/// TaskCall is a call whose result is recorded; awaiting it gives that result.
#[must_use = "a task starts when its call is awaited"]
pub struct TaskCall<O>(Pin<Box<dyn Future<Output = Result<O, Failure>> + Send>>);

impl<O: DeserializeOwned + Send + 'static> TaskCall<O> {
    fn new(outcome: Result<impl Future<Output = Outcome> + Send + 'static, Failure>) -> Self {
        Self(Box::pin(async move {
            json::decode("the recorded result", &outcome?.await?)
        }))
    }
}

impl<O> Future for TaskCall<O> {
    type Output = Result<O, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl<O> fmt::Debug for TaskCall<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCall").finish_non_exhaustive()
    }
}
