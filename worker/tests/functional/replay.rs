//! What replays promise.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::future::{Either, select};
use uuid::Uuid;
use weft_worker::{
    Context, Entrypoint, Failure, Final, RetryPolicy, Task, TaskContext,
    protocol::{ExecutionId, Finish, ToWorker},
};

use crate::engine::{Count, Engine, mismatch, run, value};

/// An entrypoint that calls tasks of these names one after the other, and joins their results.
fn sequence(tasks: &'static [&'static str], runs: &Count) -> Entrypoint {
    let runs = runs.clone();
    Entrypoint::new("test", "1", move |context: Context, (): ()| {
        let runs = runs.clone();
        async move {
            let mut results = Vec::new();
            for name in tasks {
                let runs = runs.clone();
                let task = Task::new(name, move |_, ()| {
                    let run = runs.up();
                    async move { Ok(format!("{name}#{run}")) }
                });
                results.push(context.call(&task, ()).await?);
            }
            Ok(results.join(" "))
        }
    })
}

#[tokio::test]
async fn a_recorded_task_does_not_run_again() {
    let runs = Count::default();
    let (finish, journal) = run(sequence(&["a", "b", "c"], &runs), Vec::new()).await;
    assert_eq!(value(&finish), r#""a#1 b#2 c#3""#);

    let again = Count::default();
    let (finish, _) = run(sequence(&["a", "b", "c"], &again), journal[..2].to_vec()).await;
    assert_eq!(value(&finish), r#""a#1 b#2 c#1""#);
    assert_eq!(again.get(), 1, "only the task that was not recorded");
}

#[tokio::test]
async fn code_sees_a_result_only_after_it_is_recorded() {
    let (seen, runs) = (Count::default(), Count::default());
    let after = seen.clone();
    let entrypoint = Entrypoint::new("test", "1", move |context: Context, (): ()| {
        let (after, runs) = (after.clone(), runs.clone());
        async move {
            let task = Task::new("task", move |_, ()| {
                let run = runs.up();
                async move { Ok(run) }
            });
            let result = context.call(&task, ()).await?;
            after.up();
            Ok(result)
        }
    });
    let mut engine = Engine::start(entrypoint, Vec::new()).await;
    let record = engine.next_record().await;
    tokio::task::yield_now().await;
    assert_eq!(seen.get(), 0);
    engine.ack(record).await;
    engine.finish().await;
    assert_eq!(seen.get(), 1);
}

/// LangGraph matches calls by place and name together, so that a renamed or swapped task silently runs
/// again, or is given the result of another.
#[tokio::test]
async fn a_renamed_or_swapped_task_is_a_mismatch_not_a_wrong_result() {
    let runs = Count::default();
    let (_, journal) = run(sequence(&["charge", "notify"], &runs), Vec::new()).await;
    for changed in [&["refund", "notify"], &["notify", "charge"]] {
        let runs = Count::default();
        let (finish, _) = run(sequence(changed, &runs), journal.clone()).await;
        let failure = mismatch(finish);
        assert_eq!(failure.reason, "NON_DETERMINISTIC");
        assert!(failure.message.contains("`charge`"), "{failure}");
        assert_eq!(runs.get(), 0);
    }
}

/// LangGraph leaves records that nobody asks for lying, and goes on with the changed code.
#[tokio::test]
async fn a_recorded_call_that_is_not_made_again_is_a_mismatch() {
    let runs = Count::default();
    let (_, journal) = run(sequence(&["a", "b"], &runs), Vec::new()).await;
    let failure = mismatch(run(sequence(&["a"], &runs), journal).await.0);
    assert!(failure.message.contains("call 1 of task `b`"), "{failure}");
}

/// Races two tasks: `second` answers only after `first` was asked to wait for it.
fn race(first_waits: bool) -> Entrypoint {
    Entrypoint::new("test", "1", move |context: Context, (): ()| async move {
        let racer = |name: &'static str, waits: bool| {
            Task::new(name, move |_: TaskContext, ()| async move {
                if waits {
                    std::future::pending::<()>().await;
                }
                Ok(name.to_owned())
            })
        };
        let first = context.call(&racer("first", first_waits), ());
        let second = context.call(&racer("second", !first_waits), ());
        let winner: String = match select(first, second).await {
            Either::Left((winner, _)) | Either::Right((winner, _)) => winner?,
        };
        let after = Task::new("after", |_: TaskContext, winner: String| async move {
            Ok(winner)
        });
        context.call(&after, winner).await
    })
}

/// LangGraph releases recorded results all at once: a race can have another winner in a replay.
#[tokio::test]
async fn a_race_has_the_same_winner_in_every_replay() {
    let (finish, journal) = run(race(true), Vec::new()).await;
    assert_eq!(value(&finish), r#""second""#);
    // This time the other one would win.
    let (finish, _) = run(race(false), journal).await;
    assert_eq!(value(&finish), r#""second""#);
}

#[tokio::test]
async fn results_recorded_in_any_order_are_released_in_that_order() {
    fn both() -> Entrypoint {
        Entrypoint::new("test", "1", |context: Context, (): ()| async move {
            let task = |name: &'static str| {
                Task::new(name, move |_: TaskContext, ()| async move {
                    Ok(name.to_owned())
                })
            };
            let order = Arc::new(std::sync::Mutex::new(Vec::new()));
            let branch = |name: &'static str| {
                let (call, order) = (context.call(&task(name), ()), Arc::clone(&order));
                async move {
                    let result: Result<String, Failure> = call.await;
                    order.lock().unwrap().push(name);
                    result.map(drop)
                }
            };
            let (a, b) = futures::future::join(branch("a"), branch("b")).await;
            a.and(b)?;
            let order = order.lock().unwrap().clone();
            Ok(order)
        })
    }
    let mut engine = Engine::start(both(), Vec::new()).await;
    let mut records = VecDeque::from([engine.next_record().await, engine.next_record().await]);
    while let Some(last) = records.pop_back() {
        engine.ack(last).await;
    }
    let (finish, journal) = engine.finish().await;
    assert_eq!(value(&finish), r#"["b","a"]"#);
    let (finish, _) = run(both(), journal).await;
    assert_eq!(value(&finish), r#"["b","a"]"#);
}

/// LangGraph records no failure that code catches: on resume the task runs again, and the code may go
/// another way.
#[tokio::test]
async fn a_failure_that_code_catches_replays_as_the_same_failure() {
    fn catching(fails: bool) -> Entrypoint {
        Entrypoint::new("test", "1", move |context: Context, (): ()| async move {
            let task = Task::new("risky", move |_: TaskContext, ()| async move {
                match fails {
                    true => Err(Failure::new("NO_LUCK", "no luck")),
                    false => Ok("fine".to_owned()),
                }
            });
            match context.call(&task, ()).await {
                Ok(result) => Ok(result),
                Err(failure) => Ok(failure.reason),
            }
        })
    }
    let (finish, journal) = run(catching(true), Vec::new()).await;
    assert_eq!(value(&finish), r#""NO_LUCK""#);
    let (finish, _) = run(catching(false), journal).await;
    assert_eq!(value(&finish), r#""NO_LUCK""#);
}

/// LangGraph runs the finished tasks of a nested entrypoint again on resume (#6792, #6050).
#[tokio::test]
async fn nested_tasks_are_recorded_and_reused_on_their_own() {
    fn nested(inner_runs: &Count, outer_runs: &Count) -> Entrypoint {
        let (inner_runs, outer_runs) = (inner_runs.clone(), outer_runs.clone());
        Entrypoint::new("test", "1", move |context: Context, (): ()| {
            let (inner_runs, outer_runs) = (inner_runs.clone(), outer_runs.clone());
            async move {
                let outer = Task::new("outer", move |task: TaskContext, ()| {
                    let inner_runs = inner_runs.clone();
                    let outer_runs = outer_runs.clone();
                    async move {
                        outer_runs.up();
                        let inner = Task::new("inner", move |_, ()| {
                            let run = inner_runs.up();
                            async move { Ok(run) }
                        });
                        Ok(task.call(&inner, ()).await? + task.call(&inner, ()).await?)
                    }
                });
                context.call(&outer, ()).await
            }
        })
    }
    let (inner, outer) = (Count::default(), Count::default());
    let (finish, journal) = run(nested(&inner, &outer), Vec::new()).await;
    assert_eq!(value(&finish), "3");
    let ids: Vec<_> = journal.iter().map(|entry| entry.call.id.as_str()).collect();
    assert_eq!(ids, ["0/0", "0/1", "0"]);

    // A crash after the first inner one: it is reused, and the outer one runs again.
    let (inner, outer) = (Count::default(), Count::default());
    let (finish, _) = run(nested(&inner, &outer), journal[..1].to_vec()).await;
    assert_eq!(value(&finish), "2");
    assert_eq!((inner.get(), outer.get()), (1, 1));

    // A crash after the outer one: nothing runs.
    let (inner, outer) = (Count::default(), Count::default());
    let (finish, _) = run(nested(&inner, &outer), journal).await;
    assert_eq!(value(&finish), "3");
    assert_eq!((inner.get(), outer.get()), (0, 0));
}

#[tokio::test]
async fn a_panic_is_a_failure_that_names_its_task() {
    let entrypoint = Entrypoint::new("test", "1", |context: Context, (): ()| async move {
        let task = Task::new("careless", |_: TaskContext, ()| async move {
            if true {
                panic!("out of cheese");
            }
            Ok(())
        });
        context.call(&task, ()).await
    });
    let (finish, _) = run(entrypoint, Vec::new()).await;
    let Finish::Failed { failure, .. } = finish else {
        panic!("{finish:?}")
    };
    assert_eq!(
        (failure.reason.as_str(), failure.task()),
        ("PANICKED", Some("careless"))
    );
    assert!(failure.message.contains("out of cheese"));
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_ends_as_a_retryable_failure() {
    let entrypoint = Entrypoint::new("test", "1", |context: Context, (): ()| async move {
        let task = Task::new("slow", |_: TaskContext, ()| {
            std::future::pending::<Result<(), _>>()
        })
        .timeout(Duration::from_millis(1))
        .retry(RetryPolicy::NEVER);
        context.call(&task, ()).await
    });
    let mut engine = Engine::start(entrypoint, Vec::new()).await;
    let failure = engine.next_record().await.outcome.unwrap_err();
    assert_eq!(
        (failure.reason.as_str(), failure.retryable),
        ("TASK_TIMEOUT", true)
    );
}

#[tokio::test]
async fn a_retry_runs_the_task_again_under_the_same_idempotency_key() {
    let keys = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&keys);
    let entrypoint = Entrypoint::new("test", "1", move |context: Context, (): ()| {
        let seen = Arc::clone(&seen);
        async move {
            let task = Task::new("flaky", move |task: TaskContext, ()| {
                seen.lock().unwrap().push(task.idempotency_key());
                async move {
                    match task.attempt() {
                        1 => Err(Failure::transient("AWAY", "away")),
                        attempt => Ok(attempt),
                    }
                }
            });
            context.call(&task, ()).await
        }
    });
    let mut engine = Engine::start(entrypoint, Vec::new()).await;
    let first = engine.next_record().await;
    assert!(first.outcome.is_err());
    let retry = ToWorker::Retry {
        execution: ExecutionId(1),
        call: first.call.id,
        after: Duration::ZERO,
    };
    engine.link.outbox.send(retry).await.unwrap();
    assert_eq!(value(&engine.finish().await.0), "2");
    let keys = keys.lock().unwrap().clone();
    assert_eq!(keys, vec![format!("{}/0", Uuid::nil()); 2]);
}

#[tokio::test]
async fn value_and_saved_can_differ() {
    let entrypoint = Entrypoint::new("test", "1", |_: Context, (): ()| async move {
        Ok(Final {
            value: 1,
            saved: "kept",
        })
    });
    let Finish::Returned { value, saved } = run(entrypoint, Vec::new()).await.0 else {
        panic!("the run did not return")
    };
    assert_eq!((value.get(), saved.get()), ("1", r#""kept""#));
}

#[tokio::test]
async fn an_entrypoint_that_is_not_hosted_is_refused_by_name() {
    let elsewhere = Entrypoint::new("other", "1", |_: Context, (): ()| async move { Ok(()) });
    let failure = mismatch(run(elsewhere, Vec::new()).await.0);
    assert_eq!(failure.reason, "NO_SUCH_ENTRYPOINT");
}
