//! Streams byte for byte: what no double does on its own.

use anyhow::Result;
use e2e::provider::{Provider, Reply};
use serde_json::{Value, json};
use workflow_service::llm::{
    content::{Block, Content},
    message::StopReason,
    usage::Usage,
};

use crate::support::{answer_of, ask, begun, chunks, events, models, say, spoken};

fn choice(delta: &Value, finish_reason: Option<&str>) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "choices": [
        {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": null}]})
}

#[tokio::test]
async fn a_stream_that_ends_early_is_an_error_however_it_ends() -> Result<()> {
    let text = choice(&json!({"role": "assistant", "content": "half"}), None);
    let created = json!({"type": "response.created", "response": {"status": "in_progress"}});
    let delta = json!({"type": "response.output_text.delta", "delta": "half"});
    let halves = [
        ("messages", events(&begun(&["half"]))),
        ("messages", events(&begun(&["half"])[..3])),
        ("messages", String::new()),
        ("chat", format!("data: {text}\n\n")),
        // Some proxies end every stream so.
        ("chat", chunks(&[text])),
        ("chat", "data: [DONE]\n\n".to_owned()),
        ("responses", events(&[created, delta])),
    ];
    for (api, half) in halves {
        for reply in [
            Reply::stream(half.clone()),
            Reply::stream(half.clone()).cut(),
        ] {
            let provider = Provider::start([reply]).await?;
            let models = models(api, provider.url(), "")?;
            let failure = ask(&models, say("hello")).await.unwrap_err();
            let told = (failure.reason.as_str(), failure.retryable);
            assert_eq!(told, ("MODEL_STREAM_TRUNCATED", true), "{api}: {half}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn comments_pings_and_unknown_events_are_passed_over_whatever_ends_the_lines() -> Result<()> {
    let mut all = begun(&["Hé", "llo"]);
    all.insert(1, json!({"type": "ping"}));
    all.insert(2, json!({"type": "mood", "mood": {"good": true}}));
    all.push(json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "mood_delta", "mood": 1}}));
    all.push(json!({"type": "message_stop", "extra": 1}));
    let stream = format!("\u{feff}: OPENROUTER PROCESSING\n\n{}", events(&all));
    for end in ["\n", "\r", "\r\n"] {
        let message = answer_of("messages", &stream.replace('\n', end)).await?;
        assert_eq!(message.content, Content::from("Héllo"));
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_comes_at_once_names_its_model_too() -> Result<()> {
    let text = choice(&json!({"role": "assistant", "content": "Hi"}), Some("stop"));
    let message = answer_of("chat", &chunks(&[text])).await?;
    assert!(message.model.is_some(), "{message:?}");
    Ok(())
}

#[tokio::test]
async fn thoughts_and_blocks_of_the_provider_come_back_unchanged() -> Result<()> {
    let block = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stream = events(&[
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 5,
            "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 1}}}),
        block(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        delta(0, json!({"type": "thinking_delta", "thinking": "let me "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "see"})),
        delta(0, json!({"type": "signature_delta", "signature": "Zm9v"})),
        block(1, json!({"type": "redacted_thinking", "data": "YmFy"})),
        block(
            2,
            json!({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}),
        ),
        delta(
            2,
            json!({"type": "input_json_delta", "partial_json": "{\"q\":"}),
        ),
        delta(
            2,
            json!({"type": "input_json_delta", "partial_json": "\"x\"}"}),
        ),
        block(
            3,
            json!({"type": "tool_use", "id": "t1", "name": "find", "input": {}}),
        ),
        delta(3, json!({"type": "input_json_delta", "partial_json": ""})),
        block(
            4,
            json!({"type": "tool_use", "id": "t2", "name": "find", "input": {}}),
        ),
        delta(
            4,
            json!({"type": "input_json_delta", "partial_json": "{\"a\": [1,"}),
        ),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
            "usage": {"output_tokens": 30}}),
        json!({"type": "message_stop"}),
    ]);
    let provider =
        Provider::start([Reply::stream(stream), Reply::stream(spoken(&["done"]))]).await?;
    let models = models("messages", provider.url(), "")?;
    let mut request = say("hello");
    let (_, message) = ask(&models, request.clone()).await?;
    assert_eq!(message.stop_reason, Some(StopReason::ToolCalls));
    assert_eq!(
        message.usage,
        Some(Usage {
            input_tokens: 125,
            output_tokens: 30,
            cache_read_tokens: 100,
            cache_write_tokens: 20,
            reasoning_tokens: 0,
        })
    );
    let calls: Vec<_> = message.content.tool_calls().collect();
    assert_eq!(calls[0].arguments, json!({}));
    assert_eq!(calls[1].malformed_arguments.as_deref(), Some("{\"a\": [1,"));

    // As it is kept on the thread.
    request
        .messages
        .push(serde_json::from_value(serde_json::to_value(&message)?)?);
    ask(&models, request).await?;
    assert_eq!(
        provider.asked()[1].body["messages"][1],
        json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "let me see", "signature": "Zm9v"},
            {"type": "redacted_thinking", "data": "YmFy"},
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"q": "x"}},
            {"type": "tool_use", "id": "t1", "name": "find", "input": {}},
            {"type": "tool_use", "id": "t2", "name": "find", "input": {}},
        ]})
    );
    Ok(())
}

#[tokio::test]
async fn reasoning_items_of_responses_come_back_unchanged() -> Result<()> {
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": [],
        "encrypted_content": "opaque", "status": "completed"});
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "find",
        "arguments": "{\"a\":1}", "status": "completed"});
    let stream = events(&[
        json!({"type": "response.created", "response": {"status": "in_progress"}}),
        json!({"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": reasoning}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": call}),
        // As compatible servers end: without the items.
        json!({"type": "response.completed", "response": {"status": "completed", "output": [],
            "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4},
                "output_tokens": 8, "output_tokens_details": {"reasoning_tokens": 6}}}}),
    ]);
    let message = answer_of("responses", &stream).await?;
    assert_eq!(message.stop_reason, Some(StopReason::ToolCalls));
    let usage = message.usage.unwrap();
    assert_eq!((usage.cache_read_tokens, usage.reasoning_tokens), (4, 6));

    // Of a model that was not asked for its thoughts there is an id, which means nothing later.
    let bare = stream.replace("\"opaque\"", "null");
    let unthought = answer_of("responses", &bare).await?;

    let provider = Provider::start([]).await?;
    let models = models("responses", provider.url(), "")?;
    let mut request = say("hello");
    request.messages.push(unthought);
    let _ = ask(&models, request).await;
    let kinds: Vec<_> = provider.asked()[0].body["input"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].clone())
        .collect();
    assert_eq!(kinds, ["message", "function_call"]);

    let provider = Provider::start([]).await?;
    let models = crate::support::models("responses", provider.url(), "")?;
    let mut request = say("hello");
    request.messages.push(message);
    let _ = ask(&models, request).await;
    assert_eq!(
        provider.asked()[0].body["input"].as_array().unwrap()[1..],
        [
            reasoning,
            json!({"type": "function_call", "call_id": "call_1", "name": "find",
                "arguments": "{\"a\":1}"}),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn what_compatible_servers_do_otherwise_is_understood() -> Result<()> {
    let stream = format!(
        ": keep-alive\n\n{}",
        chunks(&[
            choice(
                &json!({"role": "assistant", "content": null, "reasoning_content": "hm"}),
                None
            ),
            choice(&json!({"content": "Let me see"}), None),
            // Always the same index, as Ollama numbers parallel calls.
            choice(
                &json!({"tool_calls": [{"index": 0, "id": "a", "function":
                {"name": "find", "arguments": "{\"x\":1}"}}]}),
                None
            ),
            choice(
                &json!({"tool_calls": [{"index": 0, "id": "b", "function":
                {"name": "find", "arguments": "{\"x\":2}"}}]}),
                None
            ),
            json!({"choices": [], "usage": null, "timings": {"ms": 1}}),
            choice(&json!({"content": ""}), Some("stop")),
            json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 2}}}),
        ])
    );
    let message = answer_of("chat", &stream).await?;
    let Content::Blocks(blocks) = &message.content else {
        panic!("{message:?}")
    };
    assert!(matches!(&blocks[0], Block::Thinking { text, signature: None } if text == "hm"));
    assert!(matches!(&blocks[1], Block::Text { text } if text == "Let me see"));
    assert_eq!(message.content.tool_calls().count(), 2);
    assert_eq!(message.stop_reason, Some(StopReason::ToolCalls));
    assert_eq!(message.usage.unwrap().cache_read_tokens, 2);
    // Some do not say [DONE].
    let undone = stream.replace("data: [DONE]\n\n", "");
    assert_eq!(answer_of("chat", &undone).await?.content, message.content);
    Ok(())
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_is_one() -> Result<()> {
    let error = json!({"type": "overloaded_error", "message": "too much"});
    let overloaded = events(&[json!({"type": "error", "error": error})]);
    let failure = answer_of("messages", &overloaded).await.unwrap_err();
    assert_eq!(
        (failure.reason.as_str(), failure.retryable),
        ("MODEL_UNAVAILABLE", true)
    );
    assert!(failure.message.contains("too much"), "{failure}");

    let quota = chunks(&[json!({"error": {"message": "no money", "code": "insufficient_quota"}})]);
    let failure = answer_of("chat", &quota).await.unwrap_err();
    assert_eq!(failure.reason, "MODEL_SPEND_LIMIT");

    let limited = events(&[
        json!({"type": "response.failed", "response": {"status": "failed",
        "error": {"code": "rate_limit_exceeded", "message": "slow"}}}),
    ]);
    let failure = answer_of("responses", &limited).await.unwrap_err();
    assert_eq!(failure.reason, "MODEL_RATE_LIMITED");
    Ok(())
}

#[tokio::test]
async fn every_reason_to_stop_is_told() -> Result<()> {
    for (said, reason) in [
        ("max_tokens", StopReason::MaxTokens),
        ("stop_sequence", StopReason::StopSequence),
        ("pause_turn", StopReason::PauseTurn),
        ("refusal", StopReason::Refusal),
        ("model_context_window_exceeded", StopReason::ContextWindow),
        ("compaction", StopReason::Other("compaction".into())),
    ] {
        let stream = spoken(&["x"]).replace("end_turn", said);
        assert_eq!(
            answer_of("messages", &stream).await?.stop_reason,
            Some(reason)
        );
    }
    for (said, reason) in [
        ("length", StopReason::MaxTokens),
        ("content_filter", StopReason::Refusal),
        ("eos", StopReason::Other("eos".into())),
    ] {
        let stream = chunks(&[choice(&json!({"content": "x"}), Some(said))]);
        assert_eq!(answer_of("chat", &stream).await?.stop_reason, Some(reason));
    }
    let refusal = chunks(&[
        choice(&json!({"refusal": "I will "}), None),
        choice(&json!({"refusal": "not"}), Some("stop")),
    ]);
    let message = answer_of("chat", &refusal).await?;
    assert_eq!(message.stop_reason, Some(StopReason::Refusal));
    assert_eq!(message.content.text(), "I will not");
    for (why, reason) in [
        ("max_output_tokens", StopReason::MaxTokens),
        ("content_filter", StopReason::Refusal),
    ] {
        let stream = events(&[json!({"type": "response.incomplete", "response": {
            "status": "incomplete", "incomplete_details": {"reason": why}, "output": [
                {"type": "message", "content": [{"type": "output_text", "text": "x"}]}]}})]);
        let message = answer_of("responses", &stream).await?;
        assert_eq!(message.stop_reason, Some(reason));
        assert_eq!(message.content.text(), "x");
    }
    Ok(())
}
