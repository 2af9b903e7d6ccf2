//! How calls are made: under keys, of entrypoints, with policies, and what becomes of those that
//! are dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use weft_worker::{
    CallKind, Context, Entrypoint, Failure, Final, Task, TaskContext, json,
    protocol::{Event, Finish, WorkerMessage},
};

use crate::engine::{Count, Engine, mismatch, run, value};

fn echo() -> Task<String, String> {
    Task::new(
        "echo",
        |_: TaskContext, text: String| async move { Ok(text) },
    )
}

fn entrypoint<F, R>(code: F) -> Entrypoint
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Result<String, Failure>> + Send + 'static,
{
    Entrypoint::new("test", "1", move |context: Context, (): ()| code(context))
}

#[tokio::test]
async fn calls_with_keys_may_change_their_order_and_get_new_ones_between_them() {
    let first = entrypoint(|context| async move {
        let a = context.call_keyed("a", &echo(), "A".to_owned()).await?;
        let b = context.call_keyed("b", &echo(), "B".to_owned()).await?;
        Ok(format!("{a}{b}"))
    });
    let (_, journal) = run(first, Vec::new()).await;
    let changed = entrypoint(|context| async move {
        let echo = echo();
        let b = context.call_keyed("b", &echo, "B".to_owned());
        let new = context.call(&echo, "new".to_owned());
        let a = context.call_keyed("a", &echo, "A".to_owned());
        let (b, new, a) = future::try_join3(b, new, a).await?;
        Ok(format!("{a}{b}{new}"))
    });
    let (finish, journal) = run(changed, journal).await;
    assert_eq!(value(&finish), r#""ABnew""#);
    let ids: Vec<_> = journal.iter().map(|entry| entry.call.id.as_str()).collect();
    assert_eq!(ids, [":a", ":b", "0"]);
}

#[tokio::test]
async fn a_key_that_is_used_twice_fails_the_second_call() {
    let twice = entrypoint(|context| async move {
        context.call_keyed("a", &echo(), "1".to_owned()).await?;
        let second = context.call_keyed("a", &echo(), "2".to_owned()).await;
        Ok(second.unwrap_err().reason)
    });
    let (finish, journal) = run(twice, Vec::new()).await;
    assert_eq!(value(&finish), r#""DUPLICATE_KEY""#);
    assert_eq!(journal.len(), 1);
}

#[tokio::test]
async fn an_entrypoint_that_is_called_is_recorded_with_the_calls_it_makes() {
    let inner_runs = Count::default();
    let runs = inner_runs.clone();
    let inner = Entrypoint::new("inner", "1", move |context: Context, text: String| {
        runs.up();
        async move {
            let previous: Option<String> = context.previous()?;
            let said = context.call(&echo(), text).await?;
            let value = format!("{said} {previous:?}");
            let saved = "dropped".to_owned();
            Ok(Final { value, saved })
        }
    });
    let called = inner.clone();
    let outer = entrypoint(move |context| {
        let inner = called.clone();
        async move { context.call_entrypoint(&inner, &"hello".to_owned()).await }
    });
    let (finish, journal) = run(outer.clone(), Vec::new()).await;
    assert_eq!(value(&finish), r#""hello None""#);
    let recorded: Vec<_> = journal
        .iter()
        .map(|entry| (entry.call.id.as_str(), &*entry.call.task))
        .collect();
    assert_eq!(recorded, [("0/0", "echo"), ("0", "inner")]);

    let (finish, _) = run(outer, journal).await;
    assert_eq!(value(&finish), r#""hello None""#);
    assert_eq!(inner_runs.get(), 1);
}

/// LangGraph does not look at arguments: a recorded result is returned for another one, in silence.
#[tokio::test]
async fn a_changed_argument_pauses_a_strict_run_and_is_a_warning_otherwise() {
    let with = |text: &'static str| {
        entrypoint(move |context| async move { context.call(&echo(), text.to_owned()).await })
    };
    let (_, journal) = run(with("before"), Vec::new()).await;
    let (finish, _) = run(with("after").strict(), journal.clone()).await;
    let failure = mismatch(finish);
    assert_eq!(failure.reason, "NON_DETERMINISTIC");
    assert!(failure.message.contains("another argument"));

    let mut engine = Engine::start(with("after"), journal).await;
    match engine.hear().await {
        WorkerMessage::Event(Event::Warning { call, warning, .. }) => {
            assert_eq!(call.unwrap().as_str(), "0");
            assert_eq!(warning.reason, "INPUT_CHANGED");
        }
        other => panic!("no warning: {other:?}"),
    }
    let (finish, _) = engine.finish().await;
    assert_eq!(value(&finish), r#""before""#);
}

#[tokio::test(start_paused = true)]
async fn a_task_without_a_sign_of_life_fails_and_one_with_signs_goes_on() {
    let limit = Duration::from_secs(1);
    let silent = entrypoint(move |context| async move {
        let task = Task::new("silent", |_: TaskContext, (): ()| async move {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(())
        })
        .idle_timeout(limit);
        Ok(context.call(&task, ()).await.unwrap_err().reason)
    });
    assert_eq!(value(&run(silent, Vec::new()).await.0), r#""TASK_IDLE""#);

    let beating = entrypoint(move |context| async move {
        let task = Task::new("beating", |task: TaskContext, (): ()| async move {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(900)).await;
                task.heartbeat();
            }
            Ok("alive".to_owned())
        })
        .idle_timeout(limit);
        context.call(&task, ()).await
    });
    assert_eq!(value(&run(beating, Vec::new()).await.0), r#""alive""#);
}

/// Joins a call that fails once `slow` is at work, and `slow`, which takes `time`.
fn failing_sibling(time: Duration, slow_runs: &Count) -> Entrypoint {
    let slow_runs = slow_runs.clone();
    entrypoint(move |context| {
        let slow_runs = slow_runs.clone();
        async move {
            let at_work = Arc::new(tokio::sync::Notify::new());
            let told = Arc::clone(&at_work);
            let slow = Task::new("slow", move |_: TaskContext, (): ()| {
                slow_runs.up();
                let at_work = Arc::clone(&at_work);
                async move {
                    at_work.notify_one();
                    tokio::time::sleep(time).await;
                    Ok("slow".to_owned())
                }
            });
            let fails = Task::new("fails", move |_: TaskContext, (): ()| {
                let told = Arc::clone(&told);
                async move {
                    told.notified().await;
                    Err::<String, _>(Failure::new("BROKEN", "broken"))
                }
            });
            let (slow, _) =
                future::try_join(context.call(&slow, ()), context.call(&fails, ())).await?;
            Ok(slow)
        }
    })
}

/// LangGraph cancels the siblings of a failed task; what they did is lost to the retry.
#[tokio::test(start_paused = true)]
async fn the_result_of_a_call_beside_a_failing_one_is_recorded() {
    let (finish, journal) = run(
        failing_sibling(Duration::from_secs(3), &Count::default()),
        Vec::new(),
    )
    .await;
    assert!(matches!(finish, Finish::Failed { failure, .. } if failure.reason == "BROKEN"));
    let recorded: Vec<_> = journal
        .iter()
        .map(|entry| (&*entry.call.task, entry.outcome.is_ok()))
        .collect();
    assert_eq!(recorded, [("fails", false), ("slow", true)]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_run_waits_for_its_other_calls_no_longer_than_its_grace() {
    let entrypoint = failing_sibling(Duration::from_secs(3600), &Count::default())
        .sibling_grace(Duration::from_secs(1));
    let (finish, journal) = run(entrypoint, Vec::new()).await;
    assert!(matches!(finish, Finish::Failed { failure, .. } if failure.reason == "BROKEN"));
    assert_eq!(journal.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_does_not_hold_a_failing_run_up() {
    let asking = entrypoint(|context| async move {
        let fails = Task::new("fails", |_: TaskContext, (): ()| async move {
            Err::<String, _>(Failure::new("BROKEN", "broken"))
        });
        let question = context.interrupt::<_, String>("well?");
        future::try_join(context.call(&fails, ()), question).await?;
        Ok(String::new())
    })
    .sibling_grace(Duration::from_secs(1_000_000_000));
    let (finish, _) = run(asking, Vec::new()).await;
    assert!(matches!(finish, Finish::Failed { failure, .. } if failure.reason == "BROKEN"));
}

#[tokio::test(start_paused = true)]
async fn the_loser_of_a_race_is_stopped() {
    let race = entrypoint(|context| async move {
        let slow = Task::new("slow", |_: TaskContext, (): ()| async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok("slow".to_owned())
        });
        let quick = context.call(&echo(), "quick".to_owned());
        let winner = future::select(quick, context.call(&slow, ())).await;
        let winner = match winner {
            future::Either::Left((quick, _)) => quick?,
            future::Either::Right((slow, _)) => slow?,
        };
        let late = Task::new("late", |_: TaskContext, (): ()| async move {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok(())
        });
        context.call(&late, ()).await?;
        Ok(winner)
    });
    let (finish, journal) = run(race, Vec::new()).await;
    assert_eq!(value(&finish), r#""quick""#);
    let tasks: Vec<_> = journal.iter().map(|entry| &*entry.call.task).collect();
    assert_eq!(tasks, ["echo", "late"]);
}

#[tokio::test]
async fn a_target_is_asked_of_the_engine_and_its_outcome_is_what_was_recorded() {
    let calling = entrypoint(|context| async move {
        let target = weft_worker::Target::<u32, String>::new("math/name");
        context.call_target(&target, &7).await
    });
    let mut engine = Engine::start(calling, Vec::new()).await;
    let call = match engine.hear().await {
        WorkerMessage::Call(call) => *call,
        other => panic!("no call: {other:?}"),
    };
    assert_eq!(call.call.kind, CallKind::Target);
    assert_eq!((&*call.call.task, call.input.get()), ("math/name", "7"));
    engine
        .ack(weft_worker::protocol::JournalEntry {
            call: call.call,
            outcome: Ok(json::from_text(r#""seven""#).unwrap()),
        })
        .await;
    let (finish, _) = engine.finish().await;
    assert_eq!(value(&finish), r#""seven""#);
}

/// LangGraph hands tasks the caller's own objects: what a task changes in them is lost on resume
/// (#6577).
#[tokio::test]
async fn a_task_changes_nothing_but_its_own_copy_of_its_argument() {
    let code = entrypoint(|context| async move {
        let push = Task::new("push", |_: TaskContext, mut list: Vec<u32>| async move {
            list.push(3);
            Ok(list.len())
        });
        let list = vec![1, 2];
        let length = context.call(&push, list.clone()).await?;
        Ok(format!("{length} {}", list.len()))
    });
    let (first, journal) = run(code.clone(), Vec::new()).await;
    let (again, _) = run(code, journal).await;
    assert_eq!(
        (value(&first), value(&again)),
        (r#""3 2""#.into(), r#""3 2""#.into())
    );
}

#[tokio::test]
async fn a_thousand_calls_run_a_few_at_a_time_and_replay_without_running() {
    let (runs, under_way, most) = (Count::default(), Gauge::default(), Gauge::default());
    let counted = (runs.clone(), under_way.clone(), most.clone());
    let fan_out = entrypoint(move |context| {
        let (runs, under_way, most) = counted.clone();
        async move {
            let double = Task::new("double", move |_: TaskContext, number: u32| {
                runs.up();
                most.raise_to(under_way.add(1));
                let under_way = under_way.clone();
                async move {
                    tokio::task::yield_now().await;
                    under_way.add(-1);
                    Ok(2 * number)
                }
            });
            let calls = (0..1000).map(|number| context.call(&double, number));
            let doubled: Vec<u32> = stream::iter(calls).buffered(16).try_collect().await?;
            Ok(doubled.iter().sum::<u32>().to_string())
        }
    });
    let (finish, journal) = run(fan_out.clone(), Vec::new()).await;
    assert_eq!(value(&finish), r#""999000""#);
    assert_eq!((runs.get(), journal.len()), (1000, 1000));
    assert!(most.get() <= 16, "{}", most.get());
    let (finish, _) = run(fan_out, journal).await;
    assert_eq!(value(&finish), r#""999000""#);
    assert_eq!(runs.get(), 1000);
}

/// A number that goes up and down.
#[derive(Clone, Default)]
struct Gauge(Arc<AtomicI64>);

impl Gauge {
    fn add(&self, change: i64) -> i64 {
        self.0.fetch_add(change, Ordering::SeqCst) + change
    }

    fn raise_to(&self, value: i64) {
        self.0.fetch_max(value, Ordering::SeqCst);
    }

    fn get(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
