//! Waiting for answers and for time, and being cancelled.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::join;
use weft_worker::{
    Call, Context, Entrypoint, Failure, Json, Task, TaskContext, json,
    protocol::{Event, ExecutionId, Finish, JournalEntry, ToWorker, WorkerMessage},
};

use crate::engine::{Count, Engine, run, value};

const HOUR: Duration = Duration::from_secs(3600);

fn answer(call: Call, text: &str) -> JournalEntry {
    JournalEntry {
        call,
        outcome: Ok(json::from_text(text).unwrap()),
    }
}

/// Asks two questions at once, after a task and with one in a task, and returns both answers.
fn two_questions(task_runs: &Count) -> Entrypoint {
    let task_runs = task_runs.clone();
    Entrypoint::new("test", "1", move |context: Context, (): ()| {
        let task_runs = task_runs.clone();
        async move {
            let before = Task::new("before", move |_, ()| {
                let run = task_runs.up();
                async move { Ok(run) }
            });
            context.call(&before, ()).await?;
            let ask = Task::new("ask", |task: TaskContext, ()| async move {
                task.interrupt::<_, Json>("in a task?").await
            });
            let (inside, outside) = join(
                context.call(&ask, ()),
                context.interrupt::<_, Json>("outside?"),
            )
            .await;
            Ok((inside?, outside?))
        }
    })
}

/// LangGraph hides all but one of several questions that are asked at once, and mixes their answers
/// up (#6626, #6624, #8936).
#[tokio::test]
async fn all_open_questions_are_visible_at_once_and_answered_in_any_order() {
    let runs = Count::default();
    let (suspend, journal) = Engine::start(two_questions(&runs), Vec::new())
        .await
        .suspend()
        .await;
    let questions: Vec<_> = suspend
        .interrupts
        .iter()
        .map(|question| (question.value.get(), question.asked_by.as_deref()))
        .collect();
    assert_eq!(
        questions,
        [(r#""in a task?""#, Some("ask")), (r#""outside?""#, None)]
    );
    let ids: Vec<_> = suspend
        .interrupts
        .iter()
        .map(|question| &question.call.id)
        .collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(suspend.wake_time, None);

    // One answered: the other one, unchanged, stays open.
    let mut one = journal.clone();
    one.push(answer(suspend.interrupts[1].call.clone(), "1"));
    let (still, _) = Engine::start(two_questions(&runs), one)
        .await
        .suspend()
        .await;
    assert_eq!(still.interrupts.len(), 1);
    assert_eq!(still.interrupts[0].call, suspend.interrupts[0].call);

    // Both answered, the later call first; null is an answer.
    let mut both = journal;
    both.push(answer(suspend.interrupts[1].call.clone(), "1"));
    both.push(answer(suspend.interrupts[0].call.clone(), "null"));
    let (finish, _) = run(two_questions(&runs), both).await;
    assert_eq!(value(&finish), "[null,1]");
    assert_eq!(runs.get(), 1, "the task before is not run again");
}

#[tokio::test]
async fn a_question_waits_for_the_tasks_beside_it() {
    let entrypoint = Entrypoint::new("test", "1", |context: Context, (): ()| async move {
        let beside = Task::new("beside", |_: TaskContext, ()| async move {
            tokio::task::yield_now().await;
            Ok(())
        });
        let asked = join(
            context.interrupt::<_, Json>("well?"),
            context.call(&beside, ()),
        )
        .await;
        asked.0
    });
    let (_, journal) = Engine::start(entrypoint, Vec::new()).await.suspend().await;
    assert_eq!(
        journal.len(),
        1,
        "the task is recorded before the run gives its worker back"
    );
}

#[tokio::test]
async fn a_long_sleep_gives_the_worker_back_and_a_short_one_does_not() {
    fn sleeper(duration: Duration) -> Entrypoint {
        Entrypoint::new("test", "1", move |context: Context, (): ()| async move {
            context.sleep(duration).await?;
            Ok("awake")
        })
    }
    let before = SystemTime::now();
    let (suspend, journal) = Engine::start(sleeper(HOUR), Vec::new())
        .await
        .suspend()
        .await;
    let wake = UNIX_EPOCH + Duration::from_micros(suspend.wake_time.unwrap().try_into().unwrap());
    assert!(wake >= before + HOUR && wake <= SystemTime::now() + HOUR);
    // Again before its time: the same time, not an hour more.
    let (again, journal) = Engine::start(sleeper(HOUR), journal).await.suspend().await;
    assert_eq!(again.wake_time, suspend.wake_time);
    // After its time: the recorded time has passed.
    let mut passed = journal;
    passed[0].outcome = Ok(json::from_text("1").unwrap());
    assert_eq!(value(&run(sleeper(HOUR), passed).await.0), r#""awake""#);
    let short = Duration::from_millis(1);
    let (finish, journal) = run(sleeper(short), Vec::new()).await;
    assert_eq!(value(&finish), r#""awake""#);
    // By a clock that is behind the one that it ended by, it has ended all the same.
    let mut ended = journal;
    let ahead = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + HOUR;
    ended[0].outcome = Ok(json::from_text(ahead.as_micros().to_string()).unwrap());
    assert_eq!(value(&run(sleeper(short), ended).await.0), r#""awake""#);
}

#[tokio::test]
async fn the_time_is_recorded_and_ids_and_numbers_are_derived() {
    fn values() -> Entrypoint {
        Entrypoint::new("test", "1", |context: Context, (): ()| async move {
            let now = context.now().await?;
            Ok((
                now,
                context.uuid(),
                context.uuid(),
                context.random(),
                context.random(),
            ))
        })
    }
    let (first, journal) = run(values(), Vec::new()).await;
    assert_eq!(journal.len(), 1);
    let (second, _) = run(values(), journal).await;
    assert_eq!(value(&first), value(&second));
    let (_, a, b, x, y): (SystemTime, String, String, f64, f64) =
        serde_json::from_str(&value(&first)).unwrap();
    assert_ne!(a, b);
    assert!(x != y && (0.0..1.0).contains(&x) && (0.0..1.0).contains(&y));
}

#[tokio::test]
async fn after_a_cancel_calls_fail_and_tasks_can_see_it() {
    let entrypoint = Entrypoint::new("test", "1", |context: Context, (): ()| async move {
        let patient = Task::new("patient", |task: TaskContext, ()| async move {
            task.cancelled().await;
            Ok("stopped early".to_owned())
        });
        let stopped = context.call(&patient, ()).await?;
        assert_eq!(stopped, "stopped early");
        context.call(&patient, ()).await
    });
    let mut engine = Engine::start(entrypoint, Vec::new()).await;
    while !matches!(
        engine.hear().await,
        WorkerMessage::Event(Event::TaskStarted { .. })
    ) {}
    let cancel = ToWorker::Cancel {
        execution: ExecutionId(1),
        reason: "enough".into(),
    };
    engine.link.outbox.send(cancel).await.unwrap();
    let (finish, journal) = engine.finish().await;
    let Finish::Failed { failure, .. } = finish else {
        panic!("{finish:?}")
    };
    assert_eq!(
        (failure.reason.as_str(), failure.message.as_str()),
        (Failure::CANCELLED, "enough")
    );
    assert_eq!(journal.len(), 1, "the task that had begun is recorded");
}

#[tokio::test]
async fn what_code_writes_is_streamed_with_its_writer() {
    let entrypoint = Entrypoint::new("test", "1", |context: Context, (): ()| async move {
        context.write("from the entrypoint")?;
        let task = Task::new("writer", |task: TaskContext, ()| async move {
            task.write(&vec![1, 2])
        });
        context.call(&task, ()).await
    });
    let mut engine = Engine::start(entrypoint, Vec::new()).await;
    let mut written = Vec::new();
    while written.len() < 2 {
        if let WorkerMessage::Event(Event::Custom { task, value, .. }) = engine.hear().await {
            written.push((task.to_string(), value.get().to_owned()));
        }
    }
    let expected = [("", r#""from the entrypoint""#), ("writer", "[1,2]")];
    assert_eq!(
        written,
        expected.map(|(task, value)| (task.to_owned(), value.to_owned()))
    );
}

/// LangGraph crashes when a question is answered with nothing (#7034).
#[tokio::test]
async fn null_is_an_answer() {
    let asking = Entrypoint::new("test", "1", |context: Context, (): ()| async move {
        let answer: Option<u32> = context.interrupt("how many, if any?").await?;
        Ok::<_, Failure>(answer.is_none())
    });
    let (suspend, mut journal) = Engine::start(asking.clone(), Vec::new())
        .await
        .suspend()
        .await;
    journal.push(JournalEntry {
        call: suspend.interrupts[0].call.clone(),
        outcome: Ok(json::null()),
    });
    let (finish, _) = run(asking, journal).await;
    assert_eq!(value(&finish), "true");
}
