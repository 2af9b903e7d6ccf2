//! Keys: the name of an item within its namespace.

use std::fmt;

use service_runtime::Violations;

/// Longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;

/// Names an item within its namespace.
///
/// Invariant: 1 to [`MAX_KEY_BYTES`] bytes, of any characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Checks the key of the request field `field`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn try_new(field: &str, key: String) -> Result<Self, Violations> {
        if key.is_empty() {
            return Err(Violations::of(field, "must not be empty"));
        }
        if key.len() > MAX_KEY_BYTES {
            let actual = key.len();
            let description = format!("must be at most {MAX_KEY_BYTES} bytes long, not {actual}");
            return Err(Violations::of(field, description));
        }
        Ok(Self(key))
    }

    /// A key that was checked before it was stored.
    #[must_use]
    pub fn stored(key: String) -> Self {
        Self(key)
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key, owned.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_1024_bytes_of_any_characters() {
        for key in ["a", "a.b-c#d", "\0", "\n", "語", &"x".repeat(1024)] {
            assert!(Key::try_new("key", key.into()).is_ok());
        }
        for key in ["", &"x".repeat(1025), &"é".repeat(513)] {
            assert!(Key::try_new("key", key.into()).is_err());
        }
    }
}
