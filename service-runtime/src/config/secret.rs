//! Texts that must not be shown.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

const REDACTED: &str = "[redacted]";

/// A secret from the configuration, such as an API key. Shown and dumped as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // A dumped configuration was edited and forgotten: better now than at the first call.
        if text == REDACTED {
            return Err(D::Error::custom(
                "is a redacted secret; put the real one in its place",
            ));
        }
        Ok(Self(text))
    }
}
