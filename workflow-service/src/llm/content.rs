//! What a message consists of: text, images, calls of tools, and what models think.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, SeqAccess, Visitor},
};
use serde_json::Value;

/// Content of a message: a text, or blocks in the order in which they were said.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// One text.
    Text(String),
    /// Blocks of several kinds.
    Blocks(Vec<Block>),
}

/// Block is a part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Block {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image: a URL, or a media type and its data.
    Image {
        /// Where the image is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
        /// What `data` is, e.g. `image/png`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        /// The image in base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
    /// The model wants a tool to be called.
    ToolCall(ToolCall),
    /// What the model thought. A provider gets its own back unchanged.
    Thinking {
        /// The thoughts, possibly a summary.
        text: String,
        /// Proof that the thoughts are the model's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// What the model thought, in a form that only its provider reads.
    RedactedThinking {
        /// The thoughts, encrypted.
        data: String,
    },
    /// Why the model does not answer.
    Refusal {
        /// The explanation.
        text: String,
    },
    /// Something only this provider understands. It gets it back unchanged, others never see it.
    Provider {
        /// Wire format that the value belongs to.
        format: String,
        /// The value as it came.
        value: Value,
    },
}

/// ToolCall is a model's wish for a tool to be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Unique in the conversation; the result refers to it.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments, a JSON object; `null` if the model wrote none that can be read.
    pub arguments: Value,
    /// What the model wrote instead of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed_arguments: Option<String>,
}

impl ToolCall {
    /// A call as a model wrote it: `arguments` is the text of a JSON object, empty for none.
    pub fn written(id: String, name: String, arguments: &str) -> Self {
        let (arguments, malformed_arguments) = match arguments.trim() {
            "" => (Value::Object(serde_json::Map::new()), None),
            text => match serde_json::from_str(text) {
                Ok(value) => (value, None),
                Err(_) => (Value::Null, Some(arguments.to_owned())),
            },
        };
        Self {
            id,
            name,
            arguments,
            malformed_arguments,
        }
    }

    /// The arguments as the model wrote them.
    pub fn arguments_text(&self) -> Cow<'_, str> {
        match &self.malformed_arguments {
            Some(text) => text.into(),
            None => self.arguments.to_string().into(),
        }
    }
}

impl Content {
    /// Content of these blocks: a text if that is all there is.
    pub fn of(mut blocks: Vec<Block>) -> Self {
        match blocks.as_mut_slice() {
            [] => Self::Text(String::new()),
            [Block::Text { text }] => Self::Text(std::mem::take(text)),
            _ => Self::Blocks(blocks),
        }
    }

    /// All of its text, that of several blocks in lines of their own.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => text.into(),
            Self::Blocks(blocks) => {
                let texts: Vec<&str> = blocks
                    .iter()
                    .filter_map(|block| match block {
                        Block::Text { text } | Block::Refusal { text } => Some(text.as_str()),
                        _ => None,
                    })
                    .collect();
                match texts.as_slice() {
                    [one] => (*one).into(),
                    several => several.join("\n").into(),
                }
            }
        }
    }

    /// The calls of tools in it.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        let blocks = match self {
            Self::Text(_) => &[],
            Self::Blocks(blocks) => blocks.as_slice(),
        };
        blocks.iter().filter_map(|block| match block {
            Block::ToolCall(call) => Some(call),
            _ => None,
        })
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl JsonSchema for Content {
    fn schema_name() -> Cow<'static, str> {
        "Content".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let block = generator.subschema_for::<Block>();
        json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": block }]
        })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// Written out, so that an error names the block that is wrong.
struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of blocks")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
        Ok(text.into())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut blocks = Vec::new();
        while let Some(block) = list.next_element()? {
            if let Block::Image {
                url,
                media_type,
                data,
            } = &block
                && (url.is_some() == data.is_some() || data.is_some() != media_type.is_some())
            {
                return Err(de::Error::custom(
                    "an image must have either `url`, or `media_type` and `data`",
                ));
            }
            blocks.push(block);
        }
        Ok(Content::Blocks(blocks))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_block_is_read_and_written_alike() {
        let content = json!([
            { "type": "text", "text": "look" },
            { "type": "image", "url": "https://example.com/a.png" },
            { "type": "image", "media_type": "image/png", "data": "aGk=" },
            { "type": "tool_call", "id": "c1", "name": "find", "arguments": { "b": 1, "a": 2 } },
            { "type": "tool_call", "id": "c2", "name": "find", "arguments": null, "malformed_arguments": "{" },
            { "type": "thinking", "text": "hm", "signature": "s" },
            { "type": "redacted_thinking", "data": "x" },
            { "type": "refusal", "text": "no" },
            { "type": "provider", "format": "responses", "value": { "type": "reasoning", "n": 1.0 } },
        ]);
        let read: Content = serde_json::from_value(content.clone()).unwrap();
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            content.to_string(),
            "not even the order of keys changes"
        );
        assert_eq!(read.text(), "look\nno");
        assert_eq!(read.tool_calls().count(), 2);
    }

    #[test]
    fn an_unknown_block_and_half_an_image_are_refused() {
        for text in [
            r#"[{"type":"smell","text":"x"}]"#,
            r#"[{"type":"image"}]"#,
            r#"[{"type":"image","url":"u","data":"d"}]"#,
            r#"[{"type":"image","data":"d"}]"#,
            r#"[{"type":"text","text":"x","mood":"good"}]"#,
            "1",
        ] {
            assert!(serde_json::from_str::<Content>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn arguments_that_are_no_json_are_kept_as_they_were_written() {
        let call = ToolCall::written("1".into(), "find".into(), r#"{"a":"#);
        assert_eq!(call.arguments, Value::Null);
        assert_eq!(call.arguments_text(), r#"{"a":"#);
        assert_eq!(
            ToolCall::written("1".into(), "find".into(), "").arguments,
            json!({})
        );
    }
}
