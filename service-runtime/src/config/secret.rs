//! Texts that must not be shown.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

const REDACTED: &str = "[redacted]";
/// Bytes of the shortest text that is a secret.
const SHORTEST: usize = 4;

/// A secret from the configuration, such as an API key. Shown and dumped as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A text of someone who was told the secret, without it: some servers repeat what they do not
    /// like. Of a secret of two words, such as `Basic dTpw`, the second one is left out too. What
    /// has fewer than four characters is no secret: leaving it out would make a text unreadable.
    #[must_use]
    pub fn redact<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        let second = self.0.split_once(' ').map(|(_, second)| second);
        [Some(self.0.as_str()), second]
            .into_iter()
            .flatten()
            .map(str::trim)
            .filter(|secret| secret.len() >= SHORTEST)
            .fold(text, |text, secret| match text.contains(secret) {
                true => text.replace(secret, REDACTED).into(),
                false => text,
            })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_out_of_what_others_say() {
        let redact = |secret: &str, text: &str| {
            let secret = Secret(secret.to_owned());
            secret.redact(text.into()).into_owned()
        };
        assert_eq!(
            redact("s3cret", "not s3cret, s3cret!"),
            "not [redacted], [redacted]!"
        );
        assert_eq!(redact("Basic dTpw", "bad dTpw"), "bad [redacted]");
        assert_eq!(redact("Basic dTpw", "bad Basic dTpw"), "bad [redacted]");
        assert_eq!(redact("1", "1 of 1"), "1 of 1");
        assert_eq!(redact("", "nothing"), "nothing");
    }
}
