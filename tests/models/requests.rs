//! What is sent to providers, field by field: all that is asked for, and nothing that they refuse.

use anyhow::Result;
use e2e::provider::{Asked, Provider};
use serde_json::{Value, json};
use uuid::Uuid;
use workflow_service::llm::{
    ChatRequest,
    options::{CacheTime, Options, OutputSchema, ToolChoice, ToolSpec},
};

use crate::support::{ask, messages, models, request, say};

/// What is sent for a request.
async fn sent(api: &str, settings: &str, request: ChatRequest) -> Result<Asked> {
    let provider = Provider::start([]).await?;
    let models = models(api, provider.url(), settings)?;
    // The answer is an error; only the question counts here.
    let _ = ask(&models, request).await;
    Ok(provider.asked().remove(0))
}

fn conversation() -> Result<ChatRequest> {
    let mut request = request(
        messages(&json!([
            { "role": "system", "content": "Be kind." },
            { "role": "user", "content": [
                { "type": "text", "text": "what is this?" },
                { "type": "image", "url": "https://example.com/a.png" },
                { "type": "image", "media_type": "image/png", "data": "aGk=" },
            ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "text": "of another provider" },
                { "type": "text", "text": "Let me see." },
                { "type": "tool_call", "id": "c1", "name": "find", "arguments": { "q": "x" } },
                { "type": "tool_call", "id": "c2", "name": "find", "arguments": null,
                  "malformed_arguments": "{\"q\":" },
                { "type": "provider", "format": "elsewhere", "value": { "type": "secret" } },
            ] },
            { "role": "tool", "tool_call_id": "c1", "content": "a cat" },
            { "role": "tool", "tool_call_id": "c2", "content": "no JSON", "is_error": true },
            { "role": "user", "content": "go on" },
        ]))?,
        Options::default(),
    );
    request.system = "You are Weft.".into();
    request.tools.push(ToolSpec {
        name: "find".into(),
        description: "Finds things.".into(),
        input_schema: json!({"type": "object"}),
    });
    Ok(request)
}

fn options() -> Options {
    Options {
        max_tokens: Some(100),
        effort: Some("low".into()),
        output: Some(OutputSchema {
            name: "form".into(),
            schema: json!({"type": "object"}),
        }),
        tool_choice: Some(ToolChoice::Any),
        parallel_tool_calls: Some(false),
        cache: Some(CacheTime::Hour),
        ..Options::default()
    }
}

#[tokio::test]
async fn messages_is_sent_what_it_takes() -> Result<()> {
    let asked = sent("messages", "", conversation()?).await?;
    assert_eq!(asked.path, "/v1/messages");
    assert_eq!(asked.headers["anthropic-version"], "2023-06-01");
    assert_eq!(asked.headers["x-api-key"], "s3cret");
    assert_eq!(asked.headers["content-type"], "application/json");
    assert!(!asked.headers.contains_key("authorization"));
    assert_eq!(
        asked.body,
        json!({
            "model": "m",
            "max_tokens": 4096,
            "system": [
                { "type": "text", "text": "You are Weft." },
                { "type": "text", "text": "Be kind." },
            ],
            "messages": [
                { "role": "user", "content": [
                    { "type": "text", "text": "what is this?" },
                    { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "aGk=" } },
                ] },
                { "role": "assistant", "content": [
                    { "type": "text", "text": "Let me see." },
                    { "type": "tool_use", "id": "c1", "name": "find", "input": { "q": "x" } },
                    { "type": "tool_use", "id": "c2", "name": "find", "input": {} },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "c1",
                      "content": [{ "type": "text", "text": "a cat" }] },
                    { "type": "tool_result", "tool_use_id": "c2",
                      "content": [{ "type": "text", "text": "no JSON" }], "is_error": true },
                    { "type": "text", "text": "go on" },
                ] },
            ],
            "tools": [{ "name": "find", "description": "Finds things.", "input_schema": { "type": "object" } }],
            "stream": true,
        })
    );
    Ok(())
}

#[tokio::test]
async fn messages_is_sent_options_and_places_to_cache_up_to() -> Result<()> {
    let request = ChatRequest {
        options: Options {
            thinking_tokens: Some(2000),
            stop: vec!["END".into()],
            stream: Some(false),
            extra: json!({"service_tier": "auto"}).as_object().unwrap().clone(),
            ..options()
        },
        ..conversation()?
    };
    let settings = "version = \"2026-10-21\"\nauth = \"bearer\"\nmax_tokens = 9\n[p.headers]\nx-team = \"blue\"";
    let asked = sent("messages", settings, request).await?;
    assert_eq!(asked.headers["anthropic-version"], "2026-10-21");
    assert_eq!(asked.headers["authorization"], "Bearer s3cret");
    assert_eq!(asked.headers["x-team"], "blue");
    let body = asked.body;
    let cached = json!({ "type": "ephemeral", "ttl": "1h" });
    assert_eq!(body["tools"][0]["cache_control"], cached);
    assert_eq!(body["system"][1]["cache_control"], cached);
    assert_eq!(body["messages"][2]["content"][2]["cache_control"], cached);
    assert_eq!(body.to_string().matches("cache_control").count(), 3);
    assert_eq!(body["max_tokens"], 100);
    assert_eq!(body["stop_sequences"], json!(["END"]));
    assert_eq!(
        body["thinking"],
        json!({ "type": "enabled", "budget_tokens": 2000 })
    );
    assert_eq!(
        body["tool_choice"],
        json!({ "type": "any", "disable_parallel_tool_use": true })
    );
    assert_eq!(
        body["output_config"],
        json!({ "format": { "type": "json_schema", "schema": { "type": "object" } }, "effort": "low" })
    );
    assert_eq!(body["service_tier"], "auto");
    assert!(body.get("stream").is_none());
    Ok(())
}

#[tokio::test]
async fn what_a_version_of_the_api_refuses_is_refused_before_it_is_sent() -> Result<()> {
    let provider = Provider::start([]).await?;
    let settings = "version = \"2026-10-21\"";
    let warm = ChatRequest {
        options: Options {
            temperature: Some(1.0),
            ..Options::default()
        },
        ..say("hello")
    };
    let strict = models("messages", provider.url(), settings)?;
    let failure = ask(&strict, warm.clone()).await.unwrap_err();
    assert_eq!(
        (failure.reason.as_str(), failure.retryable),
        ("MODEL_REFUSED", false)
    );
    assert!(failure.message.contains("`temperature`"), "{failure}");
    // Also what the service knows no option for.
    let extra = json!({"top_k": 40, "model": "another", "service_tier": "auto"});
    let extra = ChatRequest {
        options: Options {
            extra: extra.as_object().unwrap().clone(),
            ..Options::default()
        },
        ..say("hello")
    };
    let failure = ask(&strict, extra).await.unwrap_err();
    for named in ["`extra.top_k`", "`extra.model`"] {
        assert!(failure.message.contains(named), "{failure}");
    }
    assert!(!failure.message.contains("service_tier"), "{failure}");
    assert!(provider.asked().is_empty());
    let before = sent("messages", "", warm).await?;
    assert_eq!(before.body["temperature"], 1.0);
    Ok(())
}

#[tokio::test]
async fn chat_completions_is_sent_what_it_takes() -> Result<()> {
    let asked = sent("chat", "", conversation()?).await?;
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.headers["authorization"], "Bearer s3cret");
    assert_eq!(
        asked.body,
        json!({
            "model": "m",
            "messages": [
                { "role": "system", "content": "You are Weft." },
                { "role": "system", "content": "Be kind." },
                { "role": "user", "content": [
                    { "type": "text", "text": "what is this?" },
                    { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
                    { "type": "image_url", "image_url": { "url": "data:image/png;base64,aGk=" } },
                ] },
                { "role": "assistant", "content": "Let me see.", "tool_calls": [
                    { "id": "c1", "type": "function",
                      "function": { "name": "find", "arguments": "{\"q\":\"x\"}" } },
                    { "id": "c2", "type": "function",
                      "function": { "name": "find", "arguments": "{\"q\":" } },
                ] },
                { "role": "tool", "tool_call_id": "c1", "content": "a cat" },
                { "role": "tool", "tool_call_id": "c2", "content": "error: no JSON" },
                { "role": "user", "content": "go on" },
            ],
            "tools": [{ "type": "function", "function":
                { "name": "find", "description": "Finds things.", "parameters": { "type": "object" } } }],
            "stream": true,
            "stream_options": { "include_usage": true },
        })
    );
    Ok(())
}

#[tokio::test]
async fn chat_completions_is_sent_options_under_the_names_that_the_server_knows() -> Result<()> {
    let request = ChatRequest {
        options: Options {
            temperature: Some(0.5),
            top_p: Some(0.9),
            stop: vec!["END".into()],
            stream: Some(false),
            ..options()
        },
        ..conversation()?
    };
    let mut body = sent("chat", "", request.clone()).await?.body;
    for (field, value) in [
        ("max_tokens", json!(100)),
        ("temperature", json!(0.5)),
        ("top_p", json!(0.9)),
        ("stop", json!(["END"])),
        ("reasoning_effort", json!("low")),
        ("tool_choice", json!("required")),
        ("parallel_tool_calls", json!(false)),
        (
            "response_format",
            json!({ "type": "json_schema", "json_schema":
                { "name": "form", "schema": { "type": "object" }, "strict": true } }),
        ),
    ] {
        assert_eq!(body[field], value, "{field}");
        body.as_object_mut().unwrap().remove(field);
    }
    let rest: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(rest, ["model", "messages", "tools"]);
    let settings = "max_tokens = 7\nmax_tokens_field = \"max_completion_tokens\"";
    let body = sent("chat", settings, say("hello")).await?.body;
    assert_eq!(
        (&body["max_completion_tokens"], &body["max_tokens"]),
        (&json!(7), &Value::Null)
    );
    Ok(())
}

#[tokio::test]
async fn responses_is_sent_what_it_takes() -> Result<()> {
    let request = ChatRequest {
        options: Options {
            stream: Some(false),
            ..options()
        },
        ..conversation()?
    };
    let asked = sent("responses", "", request).await?;
    assert_eq!(asked.path, "/v1/responses");
    assert_eq!(
        asked.body,
        json!({
            "model": "m",
            "instructions": "You are Weft.",
            "input": [
                { "type": "message", "role": "system",
                  "content": [{ "type": "input_text", "text": "Be kind." }] },
                { "type": "message", "role": "user", "content": [
                    { "type": "input_text", "text": "what is this?" },
                    { "type": "input_image", "image_url": "https://example.com/a.png" },
                    { "type": "input_image", "image_url": "data:image/png;base64,aGk=" },
                ] },
                { "type": "message", "role": "assistant",
                  "content": [{ "type": "output_text", "text": "Let me see." }] },
                { "type": "function_call", "call_id": "c1", "name": "find", "arguments": "{\"q\":\"x\"}" },
                { "type": "function_call", "call_id": "c2", "name": "find", "arguments": "{\"q\":" },
                { "type": "function_call_output", "call_id": "c1", "output": "a cat" },
                { "type": "function_call_output", "call_id": "c2", "output": "error: no JSON" },
                { "type": "message", "role": "user",
                  "content": [{ "type": "input_text", "text": "go on" }] },
            ],
            "store": false,
            "max_output_tokens": 100,
            "reasoning": { "effort": "low" },
            "include": ["reasoning.encrypted_content"],
            "text": { "format": { "type": "json_schema", "name": "form",
                "schema": { "type": "object" }, "strict": true } },
            "tools": [{ "type": "function", "name": "find", "description": "Finds things.",
                "parameters": { "type": "object" }, "strict": false }],
            "tool_choice": "required",
            "parallel_tool_calls": false,
            "prompt_cache_key": key_of("t"),
        })
    );
    let plain = sent("responses", "", say("hello")).await?.body;
    let fields: Vec<&String> = plain.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["model", "input", "store", "stream"]);
    Ok(())
}

/// What a prompt cache is asked for on this thread.
fn key_of(thread: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, thread.as_bytes()).to_string()
}

#[tokio::test]
async fn the_key_of_a_prompt_cache_is_the_conversations_and_fits_whatever_that_is_called()
-> Result<()> {
    let long = "t".repeat(256);
    for (api, settings) in [("responses", ""), ("chat", "")] {
        for thread in ["t", &long] {
            let request = ChatRequest {
                options: options(),
                thread: thread.into(),
                ..say("hello")
            };
            let body = sent(api, settings, request).await?.body;
            let key = body["prompt_cache_key"].as_str();
            // Only of OpenAI itself is it known that it takes one in Chat Completions.
            let expected = (api == "responses").then(|| key_of(thread));
            assert_eq!(key, expected.as_deref());
            assert!(key.is_none_or(|key| key.len() <= 64));
        }
    }
    Ok(())
}
