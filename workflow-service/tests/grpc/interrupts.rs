//! Answering questions through the API.

use std::collections::HashMap;

use tonic::Code;
use weft_proto::workflow::v1::{
    Answers, GetThreadRequest, ResumeRunRequest, StreamMode, StreamRunRequest, event::Kind,
    resume_run_request::Resume, run::State, stream_run_request::Target, thread,
};

use crate::server::{Serving, TEXT, json, refused, start, state, text};

fn answer(run_id: &str, value: &str) -> ResumeRunRequest {
    ResumeRunRequest {
        run_id: run_id.to_owned(),
        resume: Some(Resume::Answer(json(value))),
    }
}

fn answers(run_id: &str, by_id: &[(&str, &str)]) -> ResumeRunRequest {
    let by_interrupt_id: HashMap<_, _> = by_id
        .iter()
        .map(|(id, value)| ((*id).to_owned(), json(value)))
        .collect();
    let resume = Some(Resume::Answers(Answers { by_interrupt_id }));
    ResumeRunRequest {
        run_id: run_id.to_owned(),
        resume,
    }
}

#[tokio::test]
async fn a_run_asks_is_answered_and_finishes() {
    let mut serving = Serving::start().await;
    let run = serving.invoke(start("ask", "t", "null")).await;
    assert_eq!(state(&run), State::Interrupted);
    let asked: Vec<_> = run
        .interrupts
        .iter()
        .map(|asked| text(asked.value.as_ref()))
        .collect();
    assert_eq!(asked, [r#""first?""#, r#""second?""#]);
    let request = GetThreadRequest {
        thread_id: "t".into(),
        payload_form: TEXT,
        ..Default::default()
    };
    let found = serving
        .threads
        .get_thread(request)
        .await
        .unwrap()
        .into_inner()
        .thread
        .unwrap();
    assert_eq!(found.state(), thread::State::Interrupted);
    assert_eq!(found.interrupts.len(), 2);

    let second = run.interrupts[1].id.clone();
    serving
        .runs
        .resume_run(answers(&run.id, &[(&second, "1.0")]))
        .await
        .unwrap();
    let run = serving.rest(&run.id).await;
    assert_eq!((state(&run), run.interrupts.len()), (State::Interrupted, 1));
    let twice = answers(&run.id, &[(&second, "2.0")]);
    let twice = serving.runs.resume_run(twice).await;
    refused(twice, Code::NotFound, "INTERRUPT_NOT_FOUND");
    serving
        .runs
        .resume_run(answer(&run.id, "null"))
        .await
        .unwrap();
    let run = serving.rest(&run.id).await;
    assert_eq!(text(run.output.as_ref()), "[null,1.0]");
    serving.stop().await;
}

#[tokio::test]
async fn wrong_answers_are_refused_by_name_and_change_nothing() {
    let mut serving = Serving::start().await;
    let run = serving.invoke(start("ask", "t", "null")).await;
    let runs = &mut serving.runs;
    let fields = refused(
        runs.resume_run(answer(&run.id, "1")).await,
        Code::InvalidArgument,
        "ANSWER_AMBIGUOUS",
    );
    assert_eq!(fields, ["answer"]);
    let unknown = runs.resume_run(answers(&run.id, &[("nope", "1")])).await;
    refused(unknown, Code::NotFound, "INTERRUPT_NOT_FOUND");
    let fields = refused(
        runs.resume_run(answers(&run.id, &[])).await,
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    assert_eq!(fields, ["answers"]);
    let nothing = ResumeRunRequest {
        run_id: run.id.clone(),
        resume: None,
    };
    let fields = refused(
        runs.resume_run(nothing).await,
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    assert_eq!(fields, ["resume"]);
    let broken = runs.resume_run(answer(&run.id, "{")).await;
    assert_eq!(
        refused(broken, Code::InvalidArgument, "INVALID_REQUEST"),
        ["answer"]
    );
    let bad_id = runs.resume_run(answer("7", "1")).await;
    assert_eq!(
        refused(bad_id, Code::InvalidArgument, "INVALID_REQUEST"),
        ["run_id"]
    );
    let nobody = uuid::Uuid::nil().to_string();
    refused(
        runs.resume_run(answer(&nobody, "1")).await,
        Code::NotFound,
        "RUN_NOT_FOUND",
    );
    assert_eq!(serving.rest(&run.id).await.interrupts.len(), 2);

    let done = serving.invoke(start("save", "u", "1")).await;
    let late = serving.runs.resume_run(answer(&done.id, "1")).await;
    refused(late, Code::FailedPrecondition, "RUN_STATE");
    serving.stop().await;
}

#[tokio::test]
async fn a_stream_shows_questions_in_the_place_of_an_output() {
    for mode in [StreamMode::Values, StreamMode::Updates] {
        let mut serving = Serving::start().await;
        let request = StreamRunRequest {
            target: Some(Target::Start(start("ask", "t", "null"))),
            modes: vec![mode.into()],
            ..StreamRunRequest::default()
        };
        let mut stream = serving.runs.stream_run(request).await.unwrap().into_inner();
        let event = stream.message().await.unwrap().unwrap().event.unwrap();
        assert!(
            matches!(event.kind, Some(Kind::Interrupted(asked)) if asked.interrupts.len() == 2)
        );
        assert!(stream.message().await.unwrap().is_none(), "the run rests");
        serving.stop().await;
    }
}
