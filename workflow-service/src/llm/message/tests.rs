use serde_json::json;

use super::*;

fn hello() -> Message {
    Message::new(Role::User, "hello")
}

#[test]
fn a_string_one_message_and_a_list_are_all_taken() {
    for text in [
        r#""hello""#,
        r#"{"role":"user","content":"hello"}"#,
        r#"[{"role":"user","content":"hello"}]"#,
    ] {
        let NewMessages(messages) = serde_json::from_str(text).unwrap();
        assert_eq!(messages, [Change::Say(hello())]);
    }
}

#[test]
fn what_makes_no_message_is_refused_with_the_reason() {
    for (text, reason) in [
        ("[]", "at least one"),
        ("null", "a list of messages"),
        (r#"[{"role":"robot","content":"hello"}]"#, "robot"),
        (
            r#"[{"role":"user","content":"hello","mood":"good"}]"#,
            "mood",
        ),
        (r#"[{"role":"user"}]"#, "`content`"),
        (r#"{"role":"tool","content":"4"}"#, "`tool_call_id`"),
        (
            r#"{"role":"user","content":"4","tool_call_id":"c"}"#,
            "`tool_call_id`",
        ),
        (r#"{"role":"remove"}"#, "`id`"),
        (r#"{"role":"remove","id":"a","content":"x"}"#, "nothing but"),
        (
            r#"{"role":"user","content":[{"type":"thinking","text":"x"}]}"#,
            "`assistant`",
        ),
    ] {
        let error = serde_json::from_str::<NewMessages>(text).unwrap_err();
        assert!(error.to_string().contains(reason), "{text}: {error}");
    }
}

#[test]
fn removals_are_read_and_never_kept() {
    let read = |text| serde_json::from_str::<NewMessages>(text).map(|new| new.0);
    assert_eq!(
        read(r#"{"role":"remove","id":"a"}"#).unwrap(),
        [Change::Remove("a".into())]
    );
    assert_eq!(
        read(r#"{"role":"remove","id":"__remove_all__"}"#).unwrap(),
        [Change::RemoveAll]
    );
    assert!(serde_json::from_str::<Message>(r#"{"role":"remove","id":"a"}"#).is_err());
}

#[test]
fn a_message_of_a_model_is_read_and_written_alike() {
    let text = json!({
        "id": "1",
        "role": "assistant",
        "content": [
            { "type": "thinking", "text": "hm", "signature": "s" },
            { "type": "tool_call", "id": "c", "name": "n", "arguments": {} },
        ],
        "model": "anthropic:claude",
        "stop_reason": "tool_calls",
        "usage": { "input_tokens": 3, "output_tokens": 4, "cache_read_tokens": 2 },
    })
    .to_string();
    let message: Message = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&message).unwrap(), text);
    let plain = json!({ "role": "user", "content": "hello" }).to_string();
    assert_eq!(serde_json::to_string(&hello()).unwrap(), plain);
}

#[test]
fn reasons_to_stop_that_are_not_known_are_kept() {
    for text in ["end_turn", "tool_calls", "compaction"] {
        let reason = StopReason::from(text.to_owned());
        assert_eq!(String::from(reason.clone()), text);
        assert_eq!(
            reason == StopReason::Other(text.into()),
            text == "compaction"
        );
    }
}
