//! The code of programs.

use std::{future::Future, sync::Arc, time::Duration};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Either, join_all, select, select_all},
};
use serde_json::{Value, json};
use weft_worker::{Context, Failure, RetryPolicy, Target, Task, TaskContext};

use crate::{
    BROKEN, Effect, FAIL, MODEL_TARGET, Outside, Program,
    offered::{Asked, call_offered},
    program::of_class,
};

/// More attempts than programs let fail, so that none of them is the last.
pub(crate) const RETRY: RetryPolicy =
    RetryPolicy::exponential(8, Duration::from_millis(1), Duration::from_millis(5));

/// Signs of life of an attempt that takes longer than its idle timeout, four to each of those.
const SIGNS_OF_LIFE: u32 = 6;

/// What a program comes to if a replay did not go as the execution before.
const DIFFERENT: u64 = u64::MAX / 1024;

impl Program {
    pub(crate) fn execute<'a>(
        &'a self,
        context: &'a Context,
        outside: &'a Arc<dyn Outside>,
    ) -> BoxFuture<'a, Result<u64, Failure>> {
        async move {
            match self {
                Self::Task {
                    number,
                    failures,
                    takes,
                } => {
                    let (number, failures, takes) = (*number, *failures, *takes);
                    let task = step("task", outside, move |task: TaskContext| async move {
                        tokio::time::sleep(takes).await;
                        match task.attempt() <= failures {
                            true => Err(Failure::transient("AWAY", "away")),
                            false => Ok(number),
                        }
                    });
                    call(context, outside, &task, number).await
                }
                Self::Hangs { number, timeout } => {
                    let (number, limit) = (*number, *timeout);
                    let task = step("hangs", outside, move |task: TaskContext| async move {
                        if task.attempt() == 1 {
                            tokio::time::sleep(limit * 10).await;
                        }
                        Ok(number)
                    });
                    call(context, outside, &task.timeout(limit), number).await
                }
                Self::Silent { number, idle } => {
                    let (number, idle) = (*number, *idle);
                    let task = step("silent", outside, move |task: TaskContext| async move {
                        for _ in 0..SIGNS_OF_LIFE {
                            match task.attempt() {
                                1 => tokio::time::sleep(idle * 10).await,
                                _ => tokio::time::sleep(idle / 4).await,
                            }
                            task.heartbeat();
                        }
                        Ok(number)
                    });
                    call(context, outside, &task.idle_timeout(idle), number).await
                }
                Self::Cached { class, ttl, takes } => {
                    let (number, takes) = (of_class(*class), *takes);
                    let task = step("cached", outside, move |_| async move {
                        tokio::time::sleep(takes).await;
                        Ok(number)
                    });
                    call(context, outside, &task.cache(*ttl), *class).await
                }
                Self::Target { number, timeout } => {
                    let target = Target::<Value, Value>::new(MODEL_TARGET);
                    let target = target.retry(RETRY).timeout(*timeout);
                    let said = json!({ "role": "user", "content": format!("say {number}") });
                    let question = json!({ "messages": [said] });
                    let answer = context.call_target(&target, &question).await?;
                    // A double says under which key it was asked.
                    if let Some(key) = answer["key"].as_str() {
                        outside.note(Effect::Seen(key));
                    }
                    let text = answer["content"].as_str().unwrap_or_default();
                    Ok(match text.contains(&number.to_string()) {
                        true => *number,
                        false => DIFFERENT,
                    })
                }
                Self::Offered {
                    number,
                    failures,
                    takes,
                } => {
                    let asked = Asked {
                        number: *number,
                        failures: *failures,
                        takes: *takes,
                    };
                    call_offered(context, outside, asked).await
                }
                Self::Stubborn { number, takes } => {
                    let (number, takes) = (*number, *takes);
                    let task = step("stubborn", outside, move |_| async move {
                        tokio::time::sleep(takes).await;
                        Ok(number)
                    });
                    match call(context, outside, &task, number).await {
                        Err(failure) if failure.reason == Failure::CANCELLED => Ok(number),
                        other => other,
                    }
                }
                Self::Caught { number } => {
                    let task = step("caught", outside, |_| async { fails("NO", "no") });
                    match call(context, outside, &task, *number).await {
                        Err(failure) if failure.reason == "NO" => Ok(*number),
                        other => other.map(|_| DIFFERENT),
                    }
                }
                Self::Broken { number } => {
                    let (number, world) = (*number, Arc::clone(outside));
                    let task = Task::new("broken", move |task: TaskContext, _: u64| {
                        let is_repaired = world.is_repaired(task.run_id());
                        async move {
                            match is_repaired {
                                true => Ok(number),
                                false => fails(BROKEN, "broken"),
                            }
                        }
                    });
                    context.call(&task, number).await
                }
                Self::Flaky { number, failures } => {
                    let place = format!("{}/{number}", context.run_id());
                    match outside.passes(&place) <= *failures {
                        true => Err(Failure::transient("FLAKY", "flaky")),
                        false => Ok(*number),
                    }
                }
                Self::Fail { number } => {
                    let text = number.to_string();
                    let task = step("fail", outside, move |_| {
                        let failure = fails(FAIL, &text);
                        async { failure }
                    });
                    call(context, outside, &task, *number).await
                }
                Self::Nested(inner) => {
                    let world = Arc::clone(outside);
                    let task = Task::new("nested", move |task: TaskContext, inner: Program| {
                        let world = Arc::clone(&world);
                        async move { Ok(inner.execute(&task, &world).await? + 1) }
                    });
                    context.call(&task, Program::clone(inner)).await
                }
                Self::Sequence(parts) => {
                    let mut sum = 0;
                    for part in parts {
                        sum += part.execute(context, outside).await?;
                    }
                    Ok(sum)
                }
                Self::Join(parts) => {
                    let world = Arc::clone(outside);
                    let branch = Task::new("branch", move |task: TaskContext, part: Program| {
                        let world = Arc::clone(&world);
                        async move { part.execute(&task, &world).await }
                    });
                    let branches = parts.iter().map(|part| context.call(&branch, part.clone()));
                    join_all(branches).await.into_iter().sum()
                }
                Self::Branches(parts) => {
                    let branches = parts.iter().map(|part| part.execute(context, outside));
                    join_all(branches).await.into_iter().sum()
                }
                Self::Race(racers) => {
                    let racers = (0_u64..).zip(racers).map(|(number, takes)| {
                        let takes = *takes;
                        let racer = step("racer", outside, move |_| async move {
                            tokio::time::sleep(takes).await;
                            Ok(number)
                        });
                        context.call(&racer, number)
                    });
                    let (winner, _) = select_all(racers).await.0?;
                    same_as_before(context, outside, winner).await
                }
                Self::Deadline { takes, limit } => {
                    let takes = *takes;
                    let task = step("hurries", outside, move |_| async move {
                        tokio::time::sleep(takes).await;
                        Ok(0)
                    });
                    let timer = std::pin::pin!(context.sleep(*limit));
                    let winner = match select(context.call(&task, 0), timer).await {
                        Either::Left((result, _)) => result?.0,
                        Either::Right((slept, _)) => slept.map(|()| 1)?,
                    };
                    same_as_before(context, outside, winner).await
                }
                Self::Ask { number } => context.interrupt(number).await,
                Self::Sleep(duration) => context.sleep(*duration).await.map(|()| 0),
                Self::Values => {
                    let before = context.now().await?;
                    let derived = format!("{before:?} {} {}", context.uuid(), context.random());
                    let task =
                        Task::new(
                            "values",
                            |_: TaskContext, seen: String| async move { Ok(seen) },
                        );
                    let recorded = context.call(&task, derived.clone()).await?;
                    Ok(if recorded == derived { 0 } else { DIFFERENT })
                }
            }
        }
        .boxed()
    }
}

/// A task that notes when it runs, and returns its number and the key of its call.
fn step<F, R>(name: &str, outside: &Arc<dyn Outside>, work: F) -> Task<u64, (u64, String)>
where
    F: Fn(TaskContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<u64, Failure>> + Send + 'static,
{
    let outside = Arc::clone(outside);
    let work = Arc::new(work);
    Task::new(name, move |task: TaskContext, _: u64| {
        let key = task.idempotency_key();
        outside.note(Effect::Ran(&key));
        let work = Arc::clone(&work);
        async move { Ok((work(task).await?, key)) }
    })
    .retry(RETRY)
}

/// Calls a task, and notes that its result was seen. Failures are not noted: another try of the run
/// may run a task again that failed.
async fn call(
    context: &Context,
    outside: &Arc<dyn Outside>,
    task: &Task<u64, (u64, String)>,
    input: u64,
) -> Result<u64, Failure> {
    let (number, key) = context.call(task, input).await?;
    outside.note(Effect::Seen(&key));
    Ok(number)
}

/// 7 if the execution that recorded this had the same winner.
async fn same_as_before(
    context: &Context,
    outside: &Arc<dyn Outside>,
    winner: u64,
) -> Result<u64, Failure> {
    let after = step("after", outside, move |_| async move { Ok(winner) });
    let recorded = call(context, outside, &after, winner).await?;
    Ok(if recorded == winner { 7 } else { DIFFERENT })
}

fn fails(reason: &str, message: &str) -> Result<u64, Failure> {
    Err(Failure::new(reason, message))
}
