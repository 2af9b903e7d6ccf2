//! Questions that runs ask, and their answers.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::join;
use tokio::sync::{Notify, Semaphore};
use weft_worker::{CallId, Context, Entrypoint, Failure, Json, Task, TaskContext, Worker, json};
use workflow_service::{
    domain::{EventKind, RunId, RunState, ThreadState},
    store::{Answers, StoreError},
};

use crate::harness::{Count, all, engine, engine_in, follow, request, rest, start, tenant};

fn json(text: &str) -> Json {
    json::from_text(text).unwrap()
}

/// Runs a counted task, asks two questions at once, and returns both answers.
fn asking(runs: &Count) -> Worker {
    let runs = runs.clone();
    Worker::new().entrypoint(Entrypoint::new(
        "ask",
        "1",
        move |context: Context, _: u32| {
            let runs = runs.clone();
            async move {
                let count = Task::new("count", move |_: TaskContext, ()| {
                    let run = runs.up();
                    async move { Ok(run) }
                });
                context.call(&count, ()).await?;
                let (a, b) = join(
                    context.interrupt::<_, Json>("first?"),
                    context.interrupt::<_, Json>("second?"),
                )
                .await;
                Ok((a?, b?))
            }
        },
    ))
}

#[tokio::test]
async fn all_questions_of_a_run_are_visible_and_each_answer_is_kept() {
    let runs = Count::default();
    let (engine, _folder) = engine(asking(&runs)).await;
    let run = rest(&engine, start(&engine, "ask", "t", 0).await.id).await;
    assert_eq!(run.state, RunState::Interrupted);
    let values: Vec<_> = run
        .interrupts
        .iter()
        .map(|interrupt| interrupt.value.get())
        .collect();
    assert_eq!(values, [r#""first?""#, r#""second?""#]);
    let thread = engine
        .store()
        .thread(&tenant(), &run.thread_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(thread.state, ThreadState::Interrupted);
    assert_eq!(thread.interrupts.len(), 2);

    let second = run.interrupts[1].id.clone();
    let answer = Answers::ById(BTreeMap::from([(second.clone(), json("2"))]));
    engine.answer_run(&tenant(), run.id, answer).await.unwrap();
    let run = rest(&engine, run.id).await;
    assert_eq!(
        run.state,
        RunState::Interrupted,
        "the other question is still open"
    );
    assert_eq!(run.interrupts.len(), 1);

    // Now there is only one, and null is an answer.
    engine
        .answer_run(&tenant(), run.id, Answers::Only(json("null")))
        .await
        .unwrap();
    let run = rest(&engine, run.id).await;
    assert_eq!(run.output.unwrap().get(), "[null,2]");
    assert_eq!(
        runs.get(),
        1,
        "what was recorded before a question does not run again"
    );
    engine.stop().await;
}

#[tokio::test]
async fn one_question_can_be_answered_while_the_code_goes_on_with_the_answer_to_another() {
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let work = Task::new("work", {
        let (begun, may_end) = (begun.clone(), may_end.clone());
        move |_: TaskContext, ()| {
            let (begun, may_end) = (begun.clone(), may_end.clone());
            async move {
                begun.notify_one();
                let _ = may_end.acquire().await;
                Ok(())
            }
        }
    });
    let entrypoint = Entrypoint::new("ask", "1", move |context: Context, _: u32| {
        let work = work.clone();
        async move {
            let first = async {
                let answer = context.interrupt::<_, Json>("first?").await?;
                context.call(&work, ()).await?;
                Ok::<_, Failure>(answer)
            };
            let (a, b) = join(first, context.interrupt::<_, Json>("second?")).await;
            Ok((a?, b?))
        }
    });
    let (engine, _folder) = engine(Worker::new().entrypoint(entrypoint)).await;
    let run = rest(&engine, start(&engine, "ask", "t", 0).await.id).await;
    let asks = |question: &str| {
        let mut interrupts = run.interrupts.iter();
        let found = interrupts.find(|interrupt| interrupt.value.get() == question);
        found.unwrap().id.clone()
    };
    let (first, second) = (asks(r#""first?""#), asks(r#""second?""#));
    let answer =
        |id: &CallId, text: &str| Answers::ById(BTreeMap::from([(id.clone(), json(text))]));
    let answers = answer(&first, "1");
    engine.answer_run(&tenant(), run.id, answers).await.unwrap();
    begun.notified().await;
    let under_way = engine.run(&tenant(), run.id).await.unwrap().unwrap();
    assert_eq!(under_way.state, RunState::Running);
    assert_eq!(under_way.interrupts[0].id, second, "it is still open");

    let answers = answer(&second, "2");
    let answered = engine.answer_run(&tenant(), run.id, answers).await.unwrap();
    assert_eq!(
        (answered.state, answered.interrupts.len()),
        (RunState::Running, 0)
    );
    may_end.add_permits(2);
    let run = rest(&engine, run.id).await;
    assert_eq!(run.output.unwrap().get(), "[1,2]");
    let events = all(follow(&engine, run.id, 0).await).await;
    assert!(
        events.is_sorted_by(|a, b| a.sequence < b.sequence),
        "{events:?}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn answers_to_nothing_are_errors() {
    let (engine, _folder) = engine(asking(&Count::default())).await;
    let run = rest(&engine, start(&engine, "ask", "t", 0).await.id).await;
    let answer = |id: &CallId| Answers::ById(BTreeMap::from([(id.clone(), json("1"))]));
    let error = engine
        .answer_run(&tenant(), run.id, Answers::Only(json("1")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::AmbiguousAnswer { count: 2, .. }),
        "{error}"
    );
    let unknown = CallId::from_recorded("99");
    let error = engine
        .answer_run(&tenant(), run.id, answer(&unknown))
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::NoSuchInterrupt { .. }),
        "{error}"
    );

    let first = run.interrupts[0].id.clone();
    engine
        .answer_run(&tenant(), run.id, answer(&first))
        .await
        .unwrap();
    rest(&engine, run.id).await;
    let error = engine
        .answer_run(&tenant(), run.id, answer(&first))
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::NoSuchInterrupt { .. }),
        "answered: {error}"
    );
    engine
        .answer_run(&tenant(), run.id, Answers::Only(json("2")))
        .await
        .unwrap();
    rest(&engine, run.id).await;
    let error = engine
        .answer_run(&tenant(), run.id, Answers::Only(json("3")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::WrongState { .. }),
        "finished: {error}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_question_holds_no_slot_and_waits_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Count::default();
    let engine = engine_in(folder.path(), asking(&runs), 1).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let run = start(&engine, "ask", &format!("t{number}"), 0).await;
        assert_eq!(rest(&engine, run.id).await.state, RunState::Interrupted);
        ids.push(run.id);
    }
    engine.stop().await;
    drop(engine);

    let engine = engine_in(folder.path(), asking(&runs), 1).await;
    for id in ids {
        let run = rest(&engine, id).await;
        let answers = run
            .interrupts
            .iter()
            .map(|question| (question.id.clone(), json("1")));
        let answers = Answers::ById(answers.collect());
        engine.answer_run(&tenant(), id, answers).await.unwrap();
        assert_eq!(rest(&engine, id).await.state, RunState::Succeeded);
    }
    assert_eq!(runs.get(), 5);
    engine.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_questions_and_goes_on_after_the_answers() {
    let (engine, _folder) = engine(asking(&Count::default())).await;
    let run = start(&engine, "ask", "t", 0).await;
    rest(&engine, run.id).await;
    let events = all(follow(&engine, run.id, 0).await).await;
    let [.., questions, state] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert!(matches!(&questions.kind, EventKind::Interrupted(open) if open.len() == 2));
    assert!(matches!(&state.kind, EventKind::Run(run) if run.state == RunState::Interrupted));

    let rested = rest(&engine, run.id).await;
    let answers = rested
        .interrupts
        .iter()
        .map(|question| (question.id.clone(), json("1")));
    engine
        .answer_run(&tenant(), run.id, Answers::ById(answers.collect()))
        .await
        .unwrap();
    let more = all(follow(&engine, run.id, state.sequence).await).await;
    assert!(more.iter().all(|event| event.sequence > state.sequence));
    assert!(matches!(&more.last().unwrap().kind,
        EventKind::Run(run) if run.state == RunState::Succeeded));
    engine.stop().await;
}

#[tokio::test]
async fn an_answered_run_goes_on_before_runs_that_wait_for_its_thread_whatever_their_ids() {
    let entrypoint = Entrypoint::new("ask", "1", |context: Context, number: u32| async move {
        let mut runs: Vec<u32> = context.previous()?.unwrap_or_default();
        if number == 1 {
            context.interrupt::<_, Json>("may I?").await?;
        }
        runs.push(number);
        Ok(runs)
    });
    let (engine, _folder) = engine(Worker::new().entrypoint(entrypoint)).await;
    // Two requests at once can be recorded in the other order than they were given their ids.
    let (lesser, greater) = (RunId::new(), RunId::new());
    let mut first = request("ask", "t", 1);
    first.run.id = greater;
    let first = engine.start_run(&tenant(), first).await.unwrap();
    rest(&engine, first.id).await;
    let mut second = request("ask", "t", 2);
    second.run.id = lesser;
    let second = engine.start_run(&tenant(), second).await.unwrap();
    assert_eq!(second.state, RunState::Queued);

    let answer = Answers::Only(json("true"));
    engine
        .answer_run(&tenant(), first.id, answer)
        .await
        .unwrap();
    assert_eq!(rest(&engine, first.id).await.output.unwrap().get(), "[1]");
    let second = rest(&engine, second.id).await;
    assert_eq!(second.output.unwrap().get(), "[1,2]");
    engine.stop().await;
}
