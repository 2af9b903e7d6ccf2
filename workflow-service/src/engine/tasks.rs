//! Tasks that workers offer, as targets: `task/NAME` has one done, `tasks/describe` tells what they
//! are.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{
    select,
    time::{Instant, sleep, timeout},
};
use weft_worker::{
    Failure, Json, RetryPolicy, TaskDescription, json,
    protocol::{Outcome, RunTask, Warning, WorkerMessage},
};

use super::{
    targets::{CallTarget, TargetContext, Targets},
    workers::{Assignment, TaskKey, Workers},
};

/// What names of such targets begin with.
const PREFIX: &str = "task/";
/// Attempts of one call that may lose their worker. A task that brings its worker down would
/// otherwise bring down one after the other.
const MAX_LOSSES: u32 = 10;

/// Adds these targets. Calls wait for as long as `wait` while nobody offers their task.
pub(super) fn add_to(targets: Targets, workers: &Arc<Workers>, wait: Duration) -> Targets {
    let workers = || Arc::clone(workers);
    let describe = DescribeTasks {
        workers: workers(),
        wait,
    };
    let run = RunTasks {
        workers: workers(),
        wait,
    };
    targets.with("task/*", run).with("tasks/describe", describe)
}

/// RunTasks has tasks done by the workers that offer them.
struct RunTasks {
    workers: Arc<Workers>,
    wait: Duration,
}

#[async_trait]
impl CallTarget for RunTasks {
    async fn call(&self, context: TargetContext, input: Json) -> Outcome {
        let (begin, task) = (Instant::now(), context.target.strip_prefix(PREFIX));
        let task: Arc<str> = task.unwrap_or_default().into();
        let mut assignment = self.assigned(&context, &task).await?;
        check(&assignment.description, &input)?;
        let run = RunTask {
            execution: assignment.id(),
            run_id: context.run_id.0,
            thread_id: Arc::clone(&context.thread_id),
            call: context.call.clone(),
            task,
            attempt: context.attempt,
            input,
            config: Arc::clone(&context.config),
            timeout: context
                .timeout
                .map(|limit| limit.saturating_sub(begin.elapsed())),
        };
        assignment.begin(run).await;
        loop {
            match assignment.next().await {
                Some(WorkerMessage::Event(event)) => context.pass_on(event),
                Some(WorkerMessage::Done(done)) => {
                    context.add_usage(done.usage);
                    if context.retry.max_attempts <= 1 {
                        context.retry_as(done.retry);
                    }
                    // Whatever it is called at the worker, it is this call that failed.
                    return done.outcome.map_err(|failure| Failure {
                        call: None,
                        ..failure
                    });
                }
                // It is no better than gone.
                Some(_) => {
                    let why = "the worker said something that is not about a task";
                    return Err(lost(&context, why.to_owned()));
                }
                None => return Err(lost(&context, assignment.why_lost())),
            }
        }
    }
}

impl RunTasks {
    /// Waits for a worker that offers the task and has room.
    async fn assigned(
        &self,
        context: &TargetContext,
        task: &Arc<str>,
    ) -> Result<Assignment, Failure> {
        let key = (context.tenant.clone(), Arc::clone(task));
        let turn = self.workers.ask(&key, context.run_id);
        let mut turn = turn.map_err(|error| Failure::transient("TASK_BUSY", error.to_string()))?;
        if let Ok(assignment) = turn.assigned.try_recv() {
            return Ok(assignment);
        }
        let is_offered = || self.workers.find_task(&key).is_some();
        let what = match is_offered() {
            true => format!("waits for a worker that has room for the task `{task}`"),
            false => format!("waits for a worker that offers the task `{task}`"),
        };
        context.warn(Warning::WAITS, what);
        let wait = bounded(self.wait, context);
        loop {
            select! {
                biased;
                Ok(assignment) = &mut turn.assigned => {
                    context.warn(Warning::GOES_ON, format!("a worker has the task `{task}`"));
                    return Ok(assignment);
                }
                () = sleep(wait) => {
                    if !is_offered() {
                        return Err(not_offered(&[task], wait));
                    }
                }
            }
        }
    }
}

/// The time to wait, which ends before that of the call does.
fn bounded(wait: Duration, context: &TargetContext) -> Duration {
    context.timeout.map_or(wait, |limit| limit.min(wait))
}

fn not_offered(tasks: &[&str], waited: Duration) -> Failure {
    let names: Vec<_> = tasks.iter().map(|task| format!("`{task}`")).collect();
    let what = format!(
        "no connected worker offers {} {}, nor did one within {waited:?}; ListTasks names those on \
         offer",
        if names.len() == 1 {
            "the task"
        } else {
            "the tasks"
        },
        names.join(", ")
    );
    Failure::transient("TASK_NOT_HOSTED", what)
}

/// Refuses an argument that does not fit.
fn check(task: &TaskDescription, input: &RawValue) -> Result<(), Failure> {
    let wrong = task.check(input);
    let Some(first) = wrong.first() else {
        return Ok(());
    };
    let each = wrong
        .iter()
        .map(|wrong| format!("`{}` {}", wrong.field, wrong.description));
    let what = each.collect::<Vec<_>>().join("; ");
    Err(Failure::new("INVALID_ARGUMENT", what).with("field", &first.field))
}

/// The failure of an attempt whose worker is gone. Another one is given the next attempt at once,
/// whatever the call's own policy is.
fn lost(context: &TargetContext, why: String) -> Failure {
    if context.attempt < MAX_LOSSES {
        context.retry_as(RetryPolicy {
            max_attempts: context.attempt + 1,
            ..RetryPolicy::exponential(1, Duration::ZERO, Duration::ZERO)
        });
    }
    Failure::transient(
        "WORKER_LOST",
        match context.attempt {
            ..MAX_LOSSES => why,
            attempts => format!(
                "{attempts} attempts of the task ended without a result, and it is given to no more \
             workers; the last: {why}"
            ),
        },
    )
}

/// DescribeTasks tells what tasks on offer do and take.
struct DescribeTasks {
    workers: Arc<Workers>,
    wait: Duration,
}

/// Its argument.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    tasks: Vec<Arc<str>>,
}

/// What it tells of each, in the order of the argument.
#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<&'a RawValue>,
}

#[async_trait]
impl CallTarget for DescribeTasks {
    async fn call(&self, context: TargetContext, input: Json) -> Outcome {
        let Wanted { tasks } = json::decode("the argument", &input)?;
        let key = |task: &Arc<str>| -> TaskKey { (context.tenant.clone(), Arc::clone(task)) };
        let find = |workers: &Workers| -> Option<Vec<_>> {
            let found = tasks.iter().map(|task| workers.find_task(&key(task)));
            found.collect()
        };
        let wait = bounded(self.wait, &context);
        let found = match find(&self.workers) {
            Some(found) => Ok(found),
            None => {
                let what = "waits for workers that offer the tasks that it is to have as tools";
                context.warn(Warning::WAITS, what);
                timeout(wait, self.workers.until_offered(find)).await
            }
        };
        let Ok(found) = found else {
            let missing = tasks.iter().map(|task| &**task);
            let missing = missing.filter(|task| {
                let key = (context.tenant.clone(), Arc::from(*task));
                self.workers.find_task(&key).is_none()
            });
            return Err(not_offered(&missing.collect::<Vec<_>>(), wait));
        };
        let described = found.iter().map(|task| {
            let TaskDescription {
                name,
                description,
                input_schema,
                output_schema,
                ..
            } = &*task.description;
            Described {
                name,
                description,
                input_schema: input_schema.as_deref(),
                output_schema: output_schema.as_deref(),
            }
        });
        json::encode("the tasks", &described.collect::<Vec<_>>())
    }
}
