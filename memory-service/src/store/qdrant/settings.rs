//! How to reach a Qdrant server, and how its collection is made.

use std::{num::NonZeroU32, time::Duration};

use qdrant_client::qdrant::{ReadConsistency as Wire, ReadConsistencyType, read_consistency};
use service_runtime::Secret;

/// How to reach a Qdrant server, and how its collection is made.
#[derive(Clone, Debug)]
pub struct QdrantSettings {
    /// URL of its gRPC API.
    pub url: String,
    /// Its API key; `None` for a server that asks for none.
    pub api_key: Option<Secret>,
    /// Roots, in PEM, that its certificate is checked against besides those of the system.
    pub roots: Option<Vec<u8>>,
    /// Name of the collection.
    pub collection: String,
    /// How long one call to the server may take.
    pub timeout: Duration,
    /// Shards of a collection that is made; `None` for what the server does by itself.
    pub shards: Option<NonZeroU32>,
    /// Copies of each shard of a collection that is made; `None` for what the server does by
    /// itself.
    pub replication_factor: Option<NonZeroU32>,
    /// Copies that a write has reached before it is acknowledged; `None` for what the server does
    /// by itself.
    pub write_consistency_factor: Option<NonZeroU32>,
    /// Copies that a read asks; `None` for one.
    pub read_consistency: Option<ReadConsistency>,
}

/// How many copies of a shard a read asks, and how many of them must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadConsistency {
    /// All.
    All,
    /// All, and the answer is what most of them say.
    Majority,
    /// More than half.
    Quorum,
    /// So many.
    Copies(NonZeroU32),
}

impl ReadConsistency {
    /// Reads `all`, `majority`, `quorum` or a number of at least 1.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            "majority" => Some(Self::Majority),
            "quorum" => Some(Self::Quorum),
            number => number.parse().ok().map(Self::Copies),
        }
    }

    pub(super) fn on_the_wire(self) -> Wire {
        let of = |kind: ReadConsistencyType| read_consistency::Value::Type(kind.into());
        Wire {
            value: Some(match self {
                Self::All => of(ReadConsistencyType::All),
                Self::Majority => of(ReadConsistencyType::Majority),
                Self::Quorum => of(ReadConsistencyType::Quorum),
                Self::Copies(copies) => read_consistency::Value::Factor(copies.get().into()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_read_consistency_is_another_one_for_the_server() {
        let kind = |kind: ReadConsistencyType| read_consistency::Value::Type(kind.into());
        for (text, expected) in [
            ("all", kind(ReadConsistencyType::All)),
            ("majority", kind(ReadConsistencyType::Majority)),
            ("quorum", kind(ReadConsistencyType::Quorum)),
            ("2", read_consistency::Value::Factor(2)),
        ] {
            let sent = ReadConsistency::parse(text).unwrap().on_the_wire();
            assert_eq!(sent.value, Some(expected), "{text}");
        }
    }

    #[test]
    fn read_consistencies_are_words_or_numbers() {
        assert_eq!(ReadConsistency::parse("all"), Some(ReadConsistency::All));
        let two = NonZeroU32::new(2).map(ReadConsistency::Copies);
        assert_eq!(ReadConsistency::parse("2"), two);
        for text in ["", "0", "-1", "most", "ALL"] {
            assert_eq!(ReadConsistency::parse(text), None, "{text}");
        }
    }
}
