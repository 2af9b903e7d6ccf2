//! Identity of calls: which call of a replay is which recorded one.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Failure, Json};

/// Longest key of a call, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// CallId names one call within a run, the same after every replay.
///
/// It is the path of call orders from the entrypoint down, joined by `/`: `2` is the third call of
/// the entrypoint, `2/0` the first call that this one makes itself. Orders count from 0 in the
/// order in which the code makes the calls, not in which they finish. A call that was given a key
/// has `:` and the key in place of its order, with `%` and `/` written as `%25` and `%2F`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallId(Arc<str>);

impl CallId {
    /// The call with this order that `caller` makes; `None` stands for the entrypoint.
    pub fn new(caller: Option<&CallId>, order: u32) -> Self {
        match caller {
            Some(caller) => Self(format!("{caller}/{order}").into()),
            None => Self(order.to_string().into()),
        }
    }

    /// The call that `caller` makes under a key; `None` stands for the entrypoint.
    ///
    /// # Errors
    /// `INVALID_KEY` if the key is empty or has more than 256 bytes.
    pub fn keyed(caller: Option<&CallId>, key: &str) -> Result<Self, Failure> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(Failure::new(
                "INVALID_KEY",
                format!(
                    "a call's key has 1 to {MAX_KEY_BYTES} bytes, this one has {}",
                    key.len()
                ),
            ));
        }
        let key = key.replace('%', "%25").replace('/', "%2F");
        Ok(match caller {
            Some(caller) => Self(format!("{caller}/:{key}").into()),
            None => Self(format!(":{key}").into()),
        })
    }

    /// Reads an id as it was written by [`CallId::as_str`].
    pub fn from_recorded(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this call was made, directly or not, by `caller`.
    pub fn is_within(&self, caller: &CallId) -> bool {
        self.0
            .strip_prefix(caller.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// The result of a task.
    Task,
    /// The result of something that the service does itself.
    Target,
    /// An answer from outside.
    Interrupt,
    /// A value that is not the same every time, such as the time.
    Side,
}

/// Call is what identifies a call to the journal, and what a replay is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Position of the call in the run.
    pub id: CallId,
    /// What it asks for.
    pub kind: CallKind,
    /// Name of the called task, or of what else is asked for.
    pub task: Arc<str>,
    /// Hash of the argument; see [`hash_input`].
    pub input_hash: [u8; 32],
}

/// SHA-256 of the canonical form of an argument: compact JSON with sorted keys, so that the order
/// in which a map happens to be serialised does not count.
pub fn hash_input(input: &Json) -> [u8; 32] {
    match serde_json::from_str::<serde_json::Value>(input.get()) {
        Ok(mut value) => {
            value.sort_all_objects();
            Sha256::digest(value.to_string()).into()
        }
        // Numbers beyond a double have no parsed form: their text stands for itself.
        Err(_) => Sha256::digest(input.get()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn nested_ids_are_within_their_caller_only() {
        let outer = CallId::new(None, 1);
        let inner = CallId::new(Some(&outer), 0);
        assert_eq!(inner.as_str(), "1/0");
        assert!(inner.is_within(&outer));
        assert!(!outer.is_within(&outer));
        assert!(!CallId::new(None, 10).is_within(&outer));
    }

    #[test]
    fn a_key_stands_for_one_call_whatever_is_in_it() {
        let outer = CallId::keyed(None, "a").unwrap();
        let inner = CallId::keyed(Some(&outer), "b").unwrap();
        let other = CallId::keyed(None, "a/:b").unwrap();
        assert!(inner.is_within(&outer));
        assert!(!other.is_within(&outer));
        assert_ne!(inner, other);
        assert_ne!(
            CallId::keyed(None, "%2F").unwrap(),
            CallId::keyed(None, "/").unwrap()
        );
        assert_ne!(CallId::keyed(None, "1").unwrap(), CallId::new(None, 1));
        assert_eq!(CallId::keyed(None, "").unwrap_err().reason, "INVALID_KEY");
    }

    #[test]
    fn the_order_of_keys_does_not_change_the_hash() {
        let one = json::from_text(r#"{"a":1,"b":[{"c":2,"d":3}]}"#).unwrap();
        let other = json::from_text(r#"{ "b": [{"d":3,"c":2}], "a": 1 }"#).unwrap();
        assert_eq!(hash_input(&one), hash_input(&other));
        let different = json::from_text(r#"{"a":1,"b":[{"c":3,"d":2}]}"#).unwrap();
        assert_ne!(hash_input(&one), hash_input(&different));
    }
}
