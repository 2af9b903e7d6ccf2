//! Conversations that are long, or edited.

use anyhow::Result;
use e2e::{
    Cluster, Refusal, chat, payload,
    provider::{Provider, Reply},
    runs::invoke,
};
use serde_json::{Value, json};
use weft_proto::workflow::v1::{GetThreadRequest, StartRunRequest, run::State};

use crate::support::{cluster, spoken};

fn run(input: &Value, config: &Value) -> StartRunRequest {
    let mut all = json!({ "user_id": "1", "memory": { "mode": "off" } });
    for (key, value) in config.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    StartRunRequest {
        input: Some(payload::json(input)),
        config: Some(payload::json(&all)),
        ..chat("t", "1", "")
    }
}

/// What the thread keeps, as (role, text).
async fn kept(cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let request = GetThreadRequest {
        thread_id: "t".into(),
        ..GetThreadRequest::default()
    };
    let thread = cluster.thread_client()?.get_thread(request).await?;
    let checkpoint = thread
        .into_inner()
        .thread
        .and_then(|thread| thread.checkpoint);
    let saved = payload::read(checkpoint.unwrap_or_default().saved.as_ref())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let messages = saved.as_array().cloned().unwrap_or_default();
    Ok(messages
        .iter()
        .map(|each| (text(&each["role"]), text(&each["content"])))
        .collect())
}

#[tokio::test]
async fn messages_are_taken_back_and_replaced_by_their_ids() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let said = json!([
        { "id": "a", "role": "user", "content": "one" },
        { "id": "b", "role": "user", "content": "two" },
    ]);
    invoke(&mut client, run(&said, &json!({}))).await?;
    let edit = json!([
        { "role": "remove", "id": "a" },
        { "id": "b", "role": "user", "content": "TWO" },
        { "role": "user", "content": "three" },
    ]);
    invoke(&mut client, run(&edit, &json!({}))).await?;
    let texts: Vec<_> = kept(&cluster)
        .await?
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    assert_eq!(
        (texts[0].as_str(), texts[2].as_str(), texts.len()),
        ("TWO", "three", 4)
    );

    let unknown = json!({ "role": "remove", "id": "nobody" });
    let failed = invoke(&mut client, run(&unknown, &json!({}))).await?;
    assert_eq!(failed.state(), State::Failed);
    assert_eq!(failed.error.unwrap_or_default().reason, "NO_SUCH_MESSAGE");

    let anew =
        json!([{ "role": "remove", "id": "__remove_all__" }, { "role": "user", "content": "hi" }]);
    invoke(&mut client, run(&anew, &json!({}))).await?;
    assert_eq!(kept(&cluster).await?.len(), 2);
    cluster.finish().await
}

#[tokio::test]
async fn a_model_is_given_the_newest_part_and_the_thread_keeps_all() -> Result<()> {
    let provider = Provider::start((0..3).map(|_| Reply::stream(spoken(&["ok"])))).await?;
    let cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    for text in ["one", "two", "three"] {
        let config = json!({ "history": { "max_messages": 3 }, "system": "Be brief." });
        invoke(&mut client, run(&json!(text), &config)).await?;
    }
    let given = provider.asked()[2].body["messages"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let texts: Vec<_> = given
        .iter()
        .map(|each| each["content"][0]["text"].clone())
        .collect();
    assert_eq!(texts, ["two", "ok", "three"]);
    assert_eq!(provider.asked()[2].body["system"][0]["text"], "Be brief.");
    assert_eq!(kept(&cluster).await?.len(), 6);
    cluster.finish().await
}

#[tokio::test]
async fn a_model_that_pauses_in_its_turn_is_given_what_it_said_and_goes_on() -> Result<()> {
    let provider = Provider::start([
        Reply::stream(spoken(&["First half,"]).replace("end_turn", "pause_turn")),
        Reply::stream(spoken(&["second half."])),
    ])
    .await?;
    let cluster = cluster(provider.url()).await?;
    let done = invoke(
        &mut cluster.workflow_client()?,
        run(&json!("hello"), &json!({})),
    )
    .await?;
    assert_eq!(done.state(), State::Succeeded, "{done:?}");
    let last = provider.asked()[1].body["messages"].as_array().cloned();
    assert_eq!(
        last.unwrap_or_default().last(),
        Some(&json!({"role": "assistant", "content": [{"type": "text", "text": "First half,"}]}))
    );
    let texts: Vec<_> = kept(&cluster)
        .await?
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    assert_eq!(texts, ["hello", "First half,", "second half."]);
    cluster.finish().await
}

#[tokio::test]
async fn all_that_is_wrong_with_a_config_is_told_at_once() -> Result<()> {
    let cluster = Cluster::start().await?;
    let wrong = json!({
        "user_id": 5,
        "system": ["be kind"],
        "options": { "temperature": "hot", "warmth": 1 },
        "history": { "max_messages": 0, "summarise": true },
        "memory": { "mode": "sometimes", "limit": 0 },
    });
    for entrypoint in ["chat", "agent"] {
        let run = StartRunRequest {
            entrypoint: entrypoint.to_owned(),
            config: Some(payload::json(&wrong)),
            input: Some(payload::json(&json!([]))),
            ..chat("t", "1", "")
        };
        let refused = invoke(&mut cluster.workflow_client()?, run).await;
        let refusal = Refusal::from_status(refused.unwrap_err())?;
        let mut fields = refusal.fields();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "start.config.history.max_messages",
                "start.config.history.summarise",
                "start.config.memory.limit",
                "start.config.memory.mode",
                "start.config.options.temperature",
                "start.config.options.warmth",
                "start.config.system",
                "start.config.user_id",
                "start.input",
            ],
            "{entrypoint}"
        );
    }
    cluster.finish().await
}

#[tokio::test]
async fn older_messages_become_a_summary_that_later_ones_are_added_to() -> Result<()> {
    let whole = |text: &str| {
        let body = json!({"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"});
        Reply::json(200, &body)
    };
    let provider = Provider::start([
        Reply::stream(spoken(&["1"])),
        whole("They said one."),
        Reply::stream(spoken(&["2"])),
        whole("They said one and two."),
        Reply::stream(spoken(&["3"])),
    ])
    .await?;
    let cluster = cluster(provider.url()).await?;
    let mut client = cluster.workflow_client()?;
    for text in ["one", "two", "three"] {
        let config = json!({ "history": { "max_messages": 2, "summarize": true } });
        let done = invoke(&mut client, run(&json!(text), &config)).await?;
        assert_eq!(done.state(), State::Succeeded, "{done:?}");
    }
    let kept = kept(&cluster).await?;
    let summary = "Summary of the conversation so far: They said one and two.";
    assert_eq!(kept[0], ("system".to_owned(), summary.to_owned()));
    assert_eq!(kept[1], ("user".to_owned(), "three".to_owned()));
    assert_eq!(kept.len(), 3);
    let minutes = provider.asked()[3].body["messages"][0]["content"][0]["text"].clone();
    let minutes = minutes.as_str().unwrap_or_default();
    assert!(
        minutes.contains("They said one.") && minutes.contains("user: two"),
        "{minutes}"
    );
    cluster.finish().await
}
