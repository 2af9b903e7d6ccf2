//! The reference program and its threads, by a Rust client.

use anyhow::{Context as _, Result};
use e2e::{
    Cluster, chat,
    conversation::{INTRODUCTION, QUESTION, STRANGER, answer, memories_of},
    memories::values_under,
    payload,
    runs::{Workflows, invoke},
};
use futures::future::try_join_all;
use serde_json::{Value, json};
use weft_proto::workflow::v1::{
    Checkpoint, GetThreadRequest, ListCheckpointsRequest, StartRunRequest, thread,
};

async fn ask(client: &mut Workflows, run: StartRunRequest) -> Result<String> {
    answer(Some(&invoke(client, run).await?))
}

/// What was said on a thread, as (role, content).
fn said(checkpoint: Option<&Checkpoint>) -> Result<Vec<(String, String)>> {
    let checkpoint = checkpoint.context("the thread has no checkpoint")?;
    let saved = payload::read(checkpoint.saved.as_ref())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let messages = saved.as_array().context("what is saved is no list")?;
    Ok(messages
        .iter()
        .map(|each| (text(&each["role"]), text(&each["content"])))
        .collect())
}

#[tokio::test]
async fn a_user_is_remembered_on_another_thread_and_unknown_to_another_user() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;

    let greeting = ask(&mut client, INTRODUCTION.to_run()).await?;
    assert!(
        greeting.contains("Bob") && greeting.contains("offline model"),
        "{greeting}"
    );
    let to_bob = ask(&mut client, QUESTION.to_run()).await?;
    assert!(to_bob.contains("Your name is Bob"), "{to_bob}");
    let to_stranger = ask(&mut client, STRANGER.to_run()).await?;
    assert!(!to_stranger.contains("Bob"), "{to_stranger}");

    let mut memory = cluster.memory_client()?;
    let known = values_under(&mut memory, &memories_of("1")).await?;
    assert_eq!(known, [json!({ "data": "Hi! Remember: my name is Bob" })]);
    assert_eq!(
        values_under(&mut memory, &memories_of("2")).await?,
        [] as [Value; 0]
    );
    cluster.finish().await
}

#[tokio::test]
async fn a_thread_keeps_what_was_said_on_it() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let off = json!({ "user_id": "1", "memory": { "mode": "off" } });
    let say = |text| StartRunRequest {
        config: Some(payload::json(&off)),
        ..chat("t", "1", text)
    };
    ask(&mut client, say("my name is Zoë")).await?;
    let reply = ask(&mut client, say("what is my name?")).await?;
    assert!(reply.contains("Zoë"), "{reply}");

    let mut threads = cluster.thread_client()?;
    let request = GetThreadRequest {
        thread_id: "t".into(),
        ..GetThreadRequest::default()
    };
    let thread = threads
        .get_thread(request)
        .await?
        .into_inner()
        .thread
        .context("no thread")?;
    assert_eq!(thread.state(), thread::State::Idle);
    let said = said(thread.checkpoint.as_ref())?;
    let roles: Vec<&str> = said.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
    assert_eq!((said[0].1.as_str(), &said[3].1), ("my name is Zoë", &reply));

    let request = ListCheckpointsRequest {
        thread_id: "t".into(),
        ..Default::default()
    };
    let page = threads.list_checkpoints(request).await?.into_inner();
    let [second, first] = page.checkpoints.as_slice() else {
        panic!("not two: {page:?}")
    };
    assert_eq!(
        (&second.parent_id, first.parent_id.as_str()),
        (&first.id, "")
    );
    assert_eq!(
        Some(&second.id),
        thread.checkpoint.as_ref().map(|newest| &newest.id)
    );
    assert!(second.id > first.id && page.next_page_token.is_empty());

    let request = GetThreadRequest {
        thread_id: "t".into(),
        checkpoint_id: first.id.clone(),
        ..GetThreadRequest::default()
    };
    let then = threads
        .get_thread(request)
        .await?
        .into_inner()
        .thread
        .context("no thread")?;
    assert_eq!(self::said(then.checkpoint.as_ref())?, said[..2]);
    cluster.finish().await
}

#[tokio::test]
async fn many_users_at_once_are_told_their_own_names() -> Result<()> {
    let cluster = Cluster::start().await?;
    let client = cluster.workflow_client()?;
    let users = ["Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana"].map(|name| {
        let mut client = client.clone();
        async move {
            let introduction = format!("Remember: my name is {name}");
            ask(&mut client, chat(&format!("{name}-1"), name, &introduction)).await?;
            let thread = format!("{name}-2");
            let reply = ask(&mut client, chat(&thread, name, "what is my name?")).await?;
            assert!(
                reply.contains(&format!("Your name is {name}.")),
                "{name}: {reply}"
            );
            anyhow::Ok(())
        }
    });
    try_join_all(users).await?;
    cluster.finish().await
}

#[tokio::test]
async fn what_is_said_at_once_on_one_thread_is_all_kept() -> Result<()> {
    let cluster = Cluster::start().await?;
    let client = cluster.workflow_client()?;
    let texts: Vec<String> = (0..8).map(|number| format!("line {number}")).collect();
    try_join_all(texts.iter().map(|text| {
        let mut client = client.clone();
        async move { ask(&mut client, chat("t", "1", text)).await }
    }))
    .await?;

    let request = GetThreadRequest {
        thread_id: "t".into(),
        ..GetThreadRequest::default()
    };
    let response = cluster
        .thread_client()?
        .get_thread(request)
        .await?
        .into_inner();
    let said = said(
        response
            .thread
            .and_then(|thread| thread.checkpoint)
            .as_ref(),
    )?;
    assert_eq!(said.len(), 16);
    let mut by_user: Vec<&String> = said
        .iter()
        .filter(|(role, _)| role == "user")
        .map(|(_, text)| text)
        .collect();
    by_user.sort();
    assert_eq!(by_user, texts.iter().collect::<Vec<_>>());
    cluster.finish().await
}

#[tokio::test]
async fn a_string_and_a_single_message_are_taken_as_well_as_a_list() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    for input in [
        json!("my name is Bob"),
        json!({ "role": "user", "content": "my name is Bob" }),
        json!([
            { "role": "user", "content": "hello" },
            { "role": "assistant", "content": "hello" },
            { "role": "user", "content": "my name is Bob" },
        ]),
    ] {
        let run = StartRunRequest {
            thread_id: String::new(),
            input: Some(payload::json(&input)),
            ..chat("", "1", "")
        };
        let reply = ask(&mut client, run).await?;
        assert!(reply.contains("Bob"), "{input}: {reply}");
    }
    cluster.finish().await
}

#[tokio::test]
async fn with_memory_off_nothing_is_stored_or_recalled() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut client = cluster.workflow_client()?;
    let off = |run| StartRunRequest {
        config: Some(payload::json(
            &json!({ "user_id": "1", "memory": { "mode": "off" } }),
        )),
        ..run
    };
    ask(&mut client, off(INTRODUCTION.to_run())).await?;
    let mut memory = cluster.memory_client()?;
    assert_eq!(
        values_under(&mut memory, &memories_of("1")).await?,
        [] as [Value; 0]
    );

    ask(&mut client, chat("other", "1", INTRODUCTION.text)).await?;
    assert_eq!(values_under(&mut memory, &memories_of("1")).await?.len(), 1);
    let reply = ask(&mut client, off(QUESTION.to_run())).await?;
    assert!(!reply.contains("Bob"), "{reply}");
    cluster.finish().await
}
