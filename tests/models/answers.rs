//! Answers of every wire format, in pieces and in one, by a double that others wrote.

use anyhow::Result;
use e2e::aimock::Aimock;
use serde_json::{Value, json};
use workflow_service::llm::{
    ChatRequest, Models,
    message::{Message, Role, StopReason},
    options::{Options, OutputSchema, ToolSpec},
};

use crate::support::{APIS, ask, models, request, say};

fn rules() -> Value {
    json!([
        { "match": { "userMessage": "hello" }, "response": { "content": "Hello to you, and to all of yours!" } },
        { "match": { "userMessage": "weather", "hasToolResult": false }, "response": { "toolCalls": [
            { "name": "weather", "arguments": { "city": "Rome" } },
            { "name": "weather", "arguments": { "city": "Oslo" } },
        ] } },
        { "match": { "userMessage": "weather", "hasToolResult": true },
          "response": { "content": "Warm, and cold." } },
        { "match": { "userMessage": "form" }, "response": { "content": "{\"n\":1}" } },
        { "match": { "userMessage": "bill" }, "response": {
            "content": "It is", "usage": { "prompt_tokens": 40, "completion_tokens": 2,
                "input_tokens": 40, "output_tokens": 2 } } },
    ])
}

fn stream(request: ChatRequest, stream: bool) -> ChatRequest {
    ChatRequest {
        options: Options {
            stream: Some(stream),
            ..request.options.clone()
        },
        ..request
    }
}

/// Every format, streamed and not, with models to ask.
async fn all(aimock: &Aimock) -> Result<Vec<(String, bool, Models)>> {
    let mut all = Vec::new();
    for (api, _) in APIS {
        for streams in [true, false] {
            all.push((api.to_owned(), streams, models(api, &aimock.url(), "")?));
        }
    }
    Ok(all)
}

#[tokio::test]
async fn text_comes_in_pieces_or_in_one() -> Result<()> {
    let Some(aimock) = Aimock::start(&rules()).await? else {
        return Ok(());
    };
    for (api, streams, models) in all(&aimock).await? {
        let (pieces, message) = ask(&models, stream(say("hello"), streams)).await?;
        let text = "Hello to you, and to all of yours!";
        assert_eq!(message.content.text(), text, "{api} {streams}");
        assert_eq!(message.role, Role::Assistant);
        assert_eq!(message.stop_reason, Some(StopReason::EndTurn), "{api}");
        assert_eq!(message.model.as_deref(), Some("p:m"));
        match streams {
            true => assert!(
                pieces.len() > 1 && pieces.concat() == text,
                "{api}: {pieces:?}"
            ),
            false => assert!(pieces.is_empty(), "{api}: {pieces:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn parallel_calls_of_tools_are_read_and_their_results_are_taken() -> Result<()> {
    let Some(aimock) = Aimock::start(&rules()).await? else {
        return Ok(());
    };
    for (api, streams, models) in all(&aimock).await? {
        let mut first = stream(say("weather"), streams);
        first.tools.push(ToolSpec {
            name: "weather".into(),
            description: "the weather".into(),
            input_schema: json!({"type": "object", "properties": {"city": {"type": "string"}}}),
        });
        let (_, calling) = ask(&models, first.clone()).await?;
        assert_eq!(calling.stop_reason, Some(StopReason::ToolCalls), "{api}");
        let calls: Vec<_> = calling.content.tool_calls().cloned().collect();
        let cities: Vec<_> = calls.iter().map(|call| &call.arguments["city"]).collect();
        assert_eq!(cities, ["Rome", "Oslo"], "{api} {streams}");
        assert!(calls[0].id != calls[1].id && !calls[0].id.is_empty());

        let mut second = first;
        second.messages.push(calling);
        for call in &calls {
            second
                .messages
                .push(Message::tool_result(call, "20 degrees", false));
        }
        let (_, answer) = ask(&models, second).await?;
        assert_eq!(answer.content.text(), "Warm, and cold.", "{api} {streams}");
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_of_a_given_form_and_its_usage_are_read() -> Result<()> {
    let Some(aimock) = Aimock::start(&rules()).await? else {
        return Ok(());
    };
    for (api, streams, models) in all(&aimock).await? {
        let schema = OutputSchema {
            name: "form".into(),
            schema: json!({"type": "object", "properties": {"n": {"type": "integer"}},
                "required": ["n"], "additionalProperties": false}),
        };
        let options = Options {
            output: Some(schema),
            ..Options::default()
        };
        let asked = request(vec![Message::new(Role::User, "form")], options);
        let (_, message) = ask(&models, stream(asked, streams)).await?;
        let read: Value = serde_json::from_str(&message.content.text())?;
        assert_eq!(read, json!({"n": 1}), "{api} {streams}");

        let (_, message) = ask(&models, stream(say("bill"), streams)).await?;
        let usage = message.usage.unwrap();
        assert_eq!(
            (usage.input_tokens, usage.output_tokens),
            (40, 2),
            "{api} {streams}"
        );
    }
    Ok(())
}
