//! Ids of runs, threads and checkpoints.

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

/// Longest thread id, in bytes.
pub const MAX_THREAD_ID_BYTES: usize = 256;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, greater than all that this process made before.
            #[expect(clippy::new_without_default, reason = "an id is made on purpose")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::from_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// RunId is a UUIDv7: greater means started later.
    RunId
}

uuid_id! {
    /// CheckpointId is a UUIDv7: greater means written later.
    CheckpointId
}

impl CheckpointId {
    /// The id after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(Uuid::from_u128(self.0.as_u128().saturating_add(1)))
    }
}

/// ThreadId is a caller's id of a thread, or a UUIDv7: 1 to 256 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(Arc<str>);

impl ThreadId {
    /// A generated id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    /// Checks a caller's id.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to do.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            Err("must not be empty; name a thread")
        } else if text.len() > MAX_THREAD_ID_BYTES {
            Err("is longer than 256 bytes; use a shorter id")
        } else if text.chars().any(char::is_control) {
            Err("has a control character; remove it")
        } else {
            Ok(Self(text.into()))
        }
    }

    /// An id that was checked when it was stored.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as shared text.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
