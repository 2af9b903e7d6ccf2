//! The reference conversation exactly as the reference program is configured: Claude for chat,
//! `text-embedding-3-small` with 1536 dimensions for memory.

use anyhow::Result;
use e2e::{
    Cluster, Events,
    aimock::Aimock,
    cluster::MEMORY,
    conversation::{INTRODUCTION, QUESTION, STRANGER, answer, memories_of},
    events::recorded,
    memories::values_under,
    runs::invoke,
};
use serde_json::json;
use weft_proto::workflow::v1::{StreamMode, event::Kind};

use crate::support::configure;

#[tokio::test]
async fn the_reference_conversation_passes_with_claude_and_openai_s_embeddings() -> Result<()> {
    let rules = json!([
        { "match": { "userMessage": "Remember: my name is Bob" },
          "response": { "content": "Hello Bob! Nice to meet you." } },
        { "match": { "userMessage": "what is my name?", "systemMessage": "my name is Bob" },
          "response": { "content": "Your name is Bob." } },
        { "match": { "userMessage": "what is my name?" },
          "response": { "content": "I don't have any information about your name." } },
    ]);
    let Some(aimock) = Aimock::start(&rules).await? else {
        return Ok(());
    };
    let mut cluster = Cluster::new()?;
    configure(&mut cluster, &aimock.url());
    let embedder = format!("http:{}/v1", aimock.url());
    for (name, value) in [
        ("WEFT_EMBEDDER", embedder.as_str()),
        ("WEFT_EMBEDDING_MODEL", "text-embedding-3-small"),
        ("WEFT_EMBEDDING_DIMS", "1536"),
        ("WEFT_EMBEDDING_API_KEY", "s3cret"),
    ] {
        cluster.set(MEMORY, name, value);
    }
    cluster.start_memory().await?;
    cluster.start_workflow().await?;
    let mut client = cluster.workflow_client()?;

    let modes = [StreamMode::Messages, StreamMode::Updates];
    let events = Events::start(&mut client, INTRODUCTION.to_run(), &modes).await?;
    let events = events.rest().await?;
    let pieces: Vec<&str> = events
        .iter()
        .filter_map(|event| match &event.kind {
            Some(Kind::Message(piece)) => {
                assert_eq!(
                    (piece.model.as_str(), piece.reset),
                    ("anthropic:claude", false)
                );
                Some(piece.text.as_str())
            }
            _ => None,
        })
        .collect();
    // Those that are there at once come as one.
    assert_eq!(pieces.concat(), "Hello Bob! Nice to meet you.");
    assert_eq!(
        recorded(&events),
        ["recall", "remember", "call_model", "chat"]
    );

    let to_bob = invoke(&mut client, QUESTION.to_run()).await?;
    assert_eq!(answer(Some(&to_bob))?, "Your name is Bob.");
    let to_stranger = invoke(&mut client, STRANGER.to_run()).await?;
    assert_eq!(
        answer(Some(&to_stranger))?,
        "I don't have any information about your name."
    );
    assert_eq!(
        values_under(&mut cluster.memory_client()?, &memories_of("1")).await?,
        [json!({ "data": INTRODUCTION.text })]
    );

    let asked = aimock.asked("/v1/messages").await?;
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[1]["model"], "claude");
    // Memory-service does not start with an embedder whose vectors are not of 1536 numbers.
    let embedded = aimock.asked("/v1/embeddings").await?;
    for text in [INTRODUCTION.text, QUESTION.text] {
        let is_embedded = embedded.iter().any(|body| body["embeddingInput"] == text);
        assert!(is_embedded, "{text}: {embedded:?}");
    }
    assert!(
        embedded
            .iter()
            .all(|body| body["model"] == "text-embedding-3-small"),
        "{embedded:?}"
    );
    cluster.finish().await
}
