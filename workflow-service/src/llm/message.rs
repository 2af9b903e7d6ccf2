//! Messages, and how new ones join old ones.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// Message is something said in a conversation. Clients can write it by hand:
/// `{"role":"user","content":"hello"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Unique in the conversation; given by the service if the sender gives none. A message with
    /// the id of an earlier one replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// Whoever set the conversation up.
    System,
}

/// NewMessages is what a caller says: one or more messages. Read from a list of messages, one
/// message, or a string, which is said by the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessages(pub Vec<Message>);

impl JsonSchema for NewMessages {
    fn schema_name() -> Cow<'static, str> {
        "NewMessages".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let message = generator.subschema_for::<Message>();
        json_schema!({
            "anyOf": [
                { "type": "array", "items": message, "minItems": 1 },
                message,
                { "type": "string" },
            ]
        })
    }
}

impl<'de> Deserialize<'de> for NewMessages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NewMessagesVisitor)
    }
}

struct NewMessagesVisitor;

impl<'de> Visitor<'de> for NewMessagesVisitor {
    type Value = NewMessages;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of messages, one message, or a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<NewMessages, E> {
        Ok(NewMessages(vec![Message {
            id: None,
            role: Role::User,
            content: text.to_owned(),
        }]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NewMessages, A::Error> {
        Message::deserialize(MapAccessDeserializer::new(map)).map(|one| NewMessages(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NewMessages, A::Error> {
        let mut messages = Vec::new();
        while let Some(message) = list.next_element()? {
            messages.push(message);
        }
        if messages.is_empty() {
            return Err(de::Error::custom("must have at least one message"));
        }
        Ok(NewMessages(messages))
    }
}

/// Joins new messages to a conversation: one whose id is known replaces the message it names, in
/// its place; every other one is appended. LangGraph's `add_messages` rules.
pub fn add_messages(mut conversation: Vec<Message>, new: Vec<Message>) -> Vec<Message> {
    for message in new {
        let known = message.id.as_ref().and_then(|id| {
            conversation
                .iter_mut()
                .rev()
                .find(|known| known.id.as_ref() == Some(id))
        });
        match known {
            Some(known) => *known = message,
            None => conversation.push(message),
        }
    }
    conversation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, content: &str) -> Message {
        Message {
            id: Some(id.into()),
            role: Role::User,
            content: content.into(),
        }
    }

    #[test]
    fn a_string_one_message_and_a_list_are_all_taken() {
        for text in [
            r#""hello""#,
            r#"{"role":"user","content":"hello"}"#,
            r#"[{"role":"user","content":"hello"}]"#,
        ] {
            let NewMessages(messages) = serde_json::from_str(text).unwrap();
            assert_eq!(
                messages,
                [Message {
                    id: None,
                    role: Role::User,
                    content: "hello".into()
                }]
            );
        }
    }

    #[test]
    fn an_empty_list_an_unknown_role_and_an_unknown_field_are_refused() {
        for text in [
            "[]",
            "null",
            r#"[{"role":"robot","content":"hello"}]"#,
            r#"[{"role":"user","content":"hello","mood":"good"}]"#,
        ] {
            assert!(serde_json::from_str::<NewMessages>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_with_a_known_id_replaces_it_in_its_place() {
        let joined = add_messages(
            vec![user("a", "one"), user("b", "two")],
            vec![user("a", "new"), user("c", "three")],
        );
        assert_eq!(
            joined,
            [user("a", "new"), user("b", "two"), user("c", "three")]
        );
    }

    #[test]
    fn messages_without_an_id_are_always_appended() {
        let message = Message {
            id: None,
            ..user("", "one")
        };
        assert_eq!(add_messages(vec![message.clone()], vec![message]).len(), 2);
    }
}
