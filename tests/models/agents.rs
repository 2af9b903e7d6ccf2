//! `agent`: models that call tools.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, chat,
    conversation::memories_of,
    memories::values_under,
    payload,
    provider::{Provider, Reply},
    runs::{Workflows, invoke, rested},
};
use serde_json::{Value, json};
use weft_proto::workflow::v1::{
    Answers, ResumeRunRequest, Run, StartRunRequest, resume_run_request::Resume, run::State,
};

use crate::support::{cluster, events, output, spoken};

/// A model's answer that calls tools.
pub(crate) fn calls(calls: &[(&str, Value)]) -> Reply {
    let mut all = vec![json!({"type": "message_start", "message": {}})];
    for (index, (name, input)) in calls.iter().enumerate() {
        all.push(
            json!({"type": "content_block_start", "index": index, "content_block":
            {"type": "tool_use", "id": format!("c{index}"), "name": name, "input": input}}),
        );
    }
    all.push(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}));
    all.push(json!({"type": "message_stop"}));
    Reply::stream(events(&all))
}

pub(crate) fn agent(text: &str, config: &Value) -> StartRunRequest {
    StartRunRequest {
        entrypoint: "agent".to_owned(),
        config: Some(payload::json(config)),
        ..chat("t", "1", text)
    }
}

/// What the model was given as results of its calls, in its request of this number.
pub(crate) fn results(provider: &Provider, request: usize) -> Vec<(String, bool)> {
    let body = &provider.asked()[request].body;
    let last = body["messages"]
        .as_array()
        .and_then(|messages| messages.last());
    let blocks = last.and_then(|message| message["content"].as_array());
    let results = blocks.into_iter().flatten();
    results
        .filter(|block| block["type"] == "tool_result")
        .map(|block| {
            let text = block["content"][0]["text"].as_str().unwrap_or_default();
            (text.to_owned(), block["is_error"] == true)
        })
        .collect()
}

/// The questions of a run by their ids.
pub(crate) fn questions(run: &Run) -> Result<BTreeMap<String, Value>> {
    let interrupts = run.interrupts.iter();
    interrupts
        .map(|each| Ok((each.id.clone(), payload::read(each.value.as_ref())?)))
        .collect()
}

pub(crate) async fn resume(
    client: &mut Workflows,
    run: &Run,
    answers: Vec<(String, Value)>,
) -> Result<Run> {
    let by_interrupt_id = answers
        .into_iter()
        .map(|(id, answer)| (id, payload::json(&answer)))
        .collect();
    let request = ResumeRunRequest {
        run_id: run.id.clone(),
        resume: Some(Resume::Answers(Answers { by_interrupt_id })),
    };
    client.resume_run(request).await?;
    rested(client, &run.id).await
}

#[tokio::test]
async fn a_model_calls_tools_at_once_and_one_after_the_other_until_it_is_done() -> Result<()> {
    let provider = Provider::start([
        calls(&[
            ("remember", json!({ "data": "The user likes tea." })),
            ("remember", json!({ "data": "The user is Bob." })),
        ]),
        calls(&[("recall", json!({ "query": "tea" }))]),
        Reply::stream(spoken(&["Done."])),
    ])
    .await?;
    let cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    let run = invoke(
        &mut client,
        agent("I am Bob and like tea", &json!({ "user_id": "1" })),
    )
    .await?;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    assert_eq!(output(&run)?["content"], "Done.");
    assert_eq!(
        values_under(&mut cluster.memory_client()?, &memories_of("1"))
            .await?
            .len(),
        2
    );
    let stored = results(&provider, 1);
    assert!(
        stored.len() == 2
            && stored
                .iter()
                .all(|(text, failed)| text.contains("stored") && !failed)
    );
    assert!(
        results(&provider, 2)[0].0.contains("likes tea"),
        "{:?}",
        results(&provider, 2)
    );
    let names: Vec<_> = provider.asked()[0].body["tools"]
        .as_array()
        .context("no tools")?
        .iter()
        .map(|tool| tool["name"].clone())
        .collect();
    assert_eq!(names, ["remember", "recall", "forget"]);
    cluster.finish().await
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_told_to_the_model() -> Result<()> {
    let provider = Provider::start([
        calls(&[
            ("remember", json!({ "text": "no such argument" })),
            ("fly", json!({})),
            ("forget", json!({ "key": 7 })),
        ]),
        Reply::stream(spoken(&["Sorry."])),
    ])
    .await?;
    let cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    let run = invoke(&mut client, agent("hello", &json!({ "user_id": "1" }))).await?;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    let told = results(&provider, 1);
    assert!(told.iter().all(|(_, failed)| *failed), "{told:?}");
    for ((text, _), says) in told.iter().zip(["data", "`remember`", "/key"]) {
        assert!(text.contains(says), "{says}: {text}");
    }
    cluster.finish().await
}

#[tokio::test]
async fn a_person_approves_edits_and_refuses() -> Result<()> {
    let provider = Provider::start([
        calls(&[
            ("remember", json!({ "data": "one" })),
            ("remember", json!({ "data": "two" })),
            ("remember", json!({ "data": "three" })),
            ("recall", json!({ "query": "x" })),
        ]),
        Reply::stream(spoken(&["Done."])),
    ])
    .await?;
    let cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    let config = json!({ "user_id": "1", "approve": ["remember"] });
    let run = invoke(&mut client, agent("remember all", &config)).await?;
    assert_eq!(run.state(), State::Interrupted, "{run:?}");
    let asked = questions(&run)?;
    assert_eq!(asked.len(), 3, "all are asked at once: {asked:?}");
    let answers = asked.iter().map(|(id, question)| {
        assert_eq!(
            (&question["type"], &question["tool"]),
            (&json!("tool_approval"), &json!("remember"))
        );
        let answer = match question["arguments"]["data"].as_str() {
            Some("one") => json!({ "decision": "approve" }),
            Some("two") => json!({ "decision": "edit", "arguments": { "data": 2 } }),
            _ => json!({ "decision": "refuse", "note": "that is private" }),
        };
        (id.clone(), answer)
    });
    let run = resume(&mut client, &run, answers.collect()).await?;
    // The edit does not fit the schema: it is asked for once more.
    assert_eq!(run.state(), State::Interrupted, "{run:?}");
    let again = questions(&run)?;
    let (id, question) = again.iter().next().context("no question")?;
    assert!(
        again.len() == 1 && question["error"].is_string(),
        "{again:?}"
    );
    let edit = json!({ "decision": "edit", "arguments": { "data": "2" } });
    let run = resume(&mut client, &run, vec![(id.clone(), edit)]).await?;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");

    let mut known = values_under(&mut cluster.memory_client()?, &memories_of("1")).await?;
    known.sort_by_key(Value::to_string);
    assert_eq!(known, [json!({ "data": "2" }), json!({ "data": "one" })]);
    let told = results(&provider, 1);
    assert_eq!(
        told.iter().map(|(_, failed)| *failed).collect::<Vec<_>>(),
        [false, false, true, false]
    );
    assert!(told[2].0.contains("that is private"), "{told:?}");
    assert_eq!(provider.asked().len(), 2, "no answer was paid for twice");
    cluster.finish().await
}

#[tokio::test]
async fn tools_of_the_caller_and_questions_to_the_person_are_answered_as_interrupts() -> Result<()>
{
    let provider = Provider::start([
        calls(&[
            ("get_weather", json!({ "city": "Rome" })),
            ("ask_person", json!({ "question": "Celsius?" })),
        ]),
        Reply::stream(spoken(&["20 degrees."])),
    ])
    .await?;
    let cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    let config = json!({ "tools": ["ask_person"], "caller_tools": [{ "name": "get_weather",
        "description": "The weather.", "input_schema": { "type": "object",
            "properties": { "city": { "type": "string" } }, "required": ["city"] } }] });
    let run = invoke(&mut client, agent("how warm is it?", &config)).await?;
    let asked = questions(&run)?;
    let answers = asked
        .iter()
        .map(|(id, question)| match question["type"].as_str() {
            Some("tool_call") => {
                assert_eq!(question["arguments"], json!({ "city": "Rome" }));
                (id.clone(), json!({ "celsius": 20 }))
            }
            _ => (id.clone(), json!("yes")),
        });
    let run = resume(&mut client, &run, answers.collect()).await?;
    assert_eq!(output(&run)?["content"], "20 degrees.");
    let told: Vec<_> = results(&provider, 1)
        .into_iter()
        .map(|(text, _)| text)
        .collect();
    assert_eq!(told, [r#"{"celsius":20}"#, "yes"]);
    cluster.finish().await
}

#[tokio::test]
async fn an_agent_that_does_not_come_to_an_end_is_ended() -> Result<()> {
    let again = || calls(&[("recall", json!({ "query": "x" }))]);
    let provider = Provider::start([again(), again(), again()]).await?;
    let cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    let config = json!({ "user_id": "1", "max_steps": 2 });
    let run = invoke(&mut client, agent("hello", &config)).await?;
    assert_eq!(run.state(), State::Failed, "{run:?}");
    let error = run.error.unwrap_or_default();
    assert_eq!(error.reason, "STEP_LIMIT");
    // A run's config stays what it is: only another run can have more.
    let advice = "a new run may be given more with `config.max_steps`";
    assert!(error.message.contains(advice), "{error:?}");
    assert_eq!(provider.asked().len(), 2);
    cluster.finish().await
}

#[tokio::test]
async fn what_is_wrong_with_an_agent_is_told_before_it_starts() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    for (config, field) in [
        (json!({ "tools": ["fly"] }), "config.tools"),
        (json!({ "tools": ["remember"] }), "config.user_id"),
        (
            json!({ "tools": [{ "task": "x", "nam": "y" }] }),
            "config.tools[0]",
        ),
        (json!({ "tools": ["task/a b"] }), "config.tools"),
        (
            json!({ "tools": ["task/x", { "task": "y", "name": "x" }] }),
            "config.tools",
        ),
        (json!({ "approve": ["fly"] }), "config.approve"),
        (json!({ "max_steps": 0 }), "config.max_steps"),
        (json!({ "model": "anthropic:claude" }), "config.model"),
        (json!({ "options": { "warmth": 1 } }), "config.options"),
        (
            json!({ "caller_tools": [{ "name": "a b", "input_schema": {} }] }),
            "config.caller_tools",
        ),
    ] {
        let status = invoke(&mut client, agent("hello", &config))
            .await
            .unwrap_err();
        let refusal = e2e::Refusal::from_status(status)?;
        let fields = refusal.fields();
        let named = fields
            .iter()
            .any(|named| named.starts_with(&format!("start.{field}")));
        assert!(named, "{config}: {fields:?}");
    }
    cluster.finish().await
}
