//! A person decides about a call of a tool.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weft_worker::{Context, Failure};

use crate::llm::content::ToolCall;

/// The question, as the run's interrupt shows it.
#[derive(Serialize)]
struct Question<'a> {
    r#type: &'static str,
    tool: &'a str,
    tool_call_id: &'a str,
    arguments: &'a Value,
    /// What was wrong with the answer before.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What the person decides, as the answer says it: `{"decision":"approve"}`,
/// `{"decision":"edit","arguments":{…}}` or `{"decision":"refuse","note":"…"}`; `true` approves and
/// `false` refuses.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "decision", rename_all = "lowercase", deny_unknown_fields)]
pub enum Decision {
    /// It may be done.
    Approve,
    /// It may be done with other arguments.
    Edit {
        /// The arguments.
        arguments: Value,
    },
    /// It must not be done.
    Refuse {
        /// What to tell the model.
        #[serde(default)]
        note: Option<String>,
    },
}

impl Decision {
    fn read(answer: &Value) -> Result<Self, String> {
        match answer {
            Value::Bool(true) => Ok(Self::Approve),
            Value::Bool(false) => Ok(Self::Refuse { note: None }),
            answer => Self::deserialize(answer).map_err(|error| {
                format!(
                    "{error}; answer {{\"decision\":\"approve\"}}, {{\"decision\":\"edit\",\
                     \"arguments\":{{…}}}} or {{\"decision\":\"refuse\",\"note\":\"…\"}}"
                )
            }),
        }
    }
}

/// Asks a person about a call, and again if the answer makes no sense or its arguments are not
/// `valid`.
///
/// # Errors
/// If the run was cancelled.
pub async fn ask(
    context: &Context,
    call: &ToolCall,
    valid: impl Fn(&Value) -> Result<(), String>,
) -> Result<Decision, Failure> {
    let mut error = None;
    loop {
        let question = Question {
            r#type: "tool_approval",
            tool: &call.name,
            tool_call_id: &call.id,
            arguments: &call.arguments,
            error: error.take(),
        };
        let answer: Value = context.interrupt(&question).await?;
        let decision = Decision::read(&answer).and_then(|decision| {
            if let Decision::Edit { arguments } = &decision {
                valid(arguments)?;
            }
            Ok(decision)
        });
        match decision {
            Ok(decision) => return Ok(decision),
            Err(why) => error = Some(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn decisions_are_read_and_nonsense_says_what_would_be_one() {
        let read = |answer: Value| Decision::read(&answer);
        assert_eq!(read(json!({"decision": "approve"})), Ok(Decision::Approve));
        assert_eq!(read(json!(true)), Ok(Decision::Approve));
        assert_eq!(read(json!(false)), Ok(Decision::Refuse { note: None }));
        let arguments = json!({"a": 1});
        assert_eq!(
            read(json!({"decision": "edit", "arguments": {"a": 1}})),
            Ok(Decision::Edit { arguments })
        );
        for nonsense in [
            json!(null),
            json!("yes"),
            json!({"decision": "edit"}),
            json!({}),
        ] {
            assert!(
                read(nonsense.clone()).unwrap_err().contains("approve"),
                "{nonsense}"
            );
        }
    }
}
