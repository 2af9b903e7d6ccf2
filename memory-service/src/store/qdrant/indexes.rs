//! Which indexes a collection has, as it says itself, and what they are to this process.
//!
//! Each index is a pair of vectors of every point, named by the index's number, so that a write of a
//! point is a write into all of its indexes. All processes on a collection read this before they
//! decide a write and after they did it; whoever finds that others have moved on follows.

use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::{
    domain::IndexIdentity,
    store::{
        StoreError,
        index::{Index, Stage},
        point::{MEANINGS, WORDS},
    },
};

/// The number of the index that a collection is made with.
const FIRST: u32 = 1;

/// An index of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Numbered {
    /// None is used twice.
    pub(super) number: u32,
    /// What it is made with.
    pub(super) index: IndexIdentity,
}

/// What another index than the one that is searched is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    /// It was searched before.
    Switched,
    /// It is to be searched, and is filled.
    Filling,
    /// It is to be searched, and every write is in it.
    Closing,
}

/// The indexes of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Indexes {
    /// The one that is searched.
    pub(super) searched: Numbered,
    /// Another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) other: Option<(Way, Numbered)>,
}

/// What the vectors of an index are called: those of words, and those of texts.
pub(super) fn names(number: u32) -> [String; 2] {
    [WORDS, MEANINGS].map(|name| match number {
        FIRST => name.to_owned(),
        number => format!("{name}_{number}"),
    })
}

impl Indexes {
    /// Of a new collection.
    pub(super) fn new(index: IndexIdentity) -> Self {
        let searched = Numbered {
            number: FIRST,
            index,
        };
        Self {
            searched,
            other: None,
        }
    }

    /// With an index to be filled in place of another one that there may be.
    pub(super) fn begin(&self, index: IndexIdentity) -> Self {
        let other = self.other.as_ref().map_or(0, |(_, other)| other.number);
        let number = self.searched.number.max(other) + 1;
        Self {
            searched: self.searched.clone(),
            other: Some((Way::Filling, Numbered { number, index })),
        }
    }

    /// One stage further.
    pub(super) fn next(&self) -> Self {
        let Self { searched, other } = self.clone();
        match other {
            Some((Way::Filling, other)) => Self {
                searched,
                other: Some((Way::Closing, other)),
            },
            Some((Way::Closing, other)) => Self {
                searched: other,
                other: Some((Way::Switched, searched)),
            },
            Some((Way::Switched, _)) | None => Self {
                searched,
                other: None,
            },
        }
    }

    /// Grows with every change.
    fn age(&self) -> (u32, Option<(Way, u32)>) {
        // What was switched to is younger than that without another one.
        let other = self.other.as_ref().map(|(way, other)| (*way, other.number));
        match other {
            Some((Way::Switched, _)) => (self.searched.number, None),
            None => (self.searched.number, Some((Way::Switched, 0))),
            other => (self.searched.number, other),
        }
    }
}

/// What the indexes of a collection are to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) stage: Stage,
    /// The number of the index that is configured, if the collection has it.
    pub(super) present: Option<u32>,
    /// The number of the former one.
    pub(super) former: Option<u32>,
    /// The index that every write must be in, if that is none of ours.
    pub(super) foreign: Option<IndexIdentity>,
}

impl Roles {
    /// The number of an index.
    pub(super) fn number(&self, index: Index) -> Result<u32, StoreError> {
        let number = match index {
            Index::Present => self.present,
            Index::Former => self.former,
        };
        number.ok_or_else(|| StoreError::Unavailable("its index was replaced meanwhile".into()))
    }

    /// The number of the present index while there is another one, by which it can be seen whether
    /// a point is in it.
    pub(super) fn mark(&self) -> Option<u32> {
        self.present.filter(|_| self.stage != Stage::Settled)
    }
}

/// What this process is configured for, and what it knows of the collection.
#[derive(Debug)]
pub(super) struct Indexing {
    present: IndexIdentity,
    former: Option<IndexIdentity>,
    known: RwLock<Option<Indexes>>,
}

impl Indexing {
    pub(super) fn new(present: IndexIdentity, former: Option<IndexIdentity>) -> Self {
        Self {
            present,
            former,
            known: RwLock::default(),
        }
    }

    pub(super) fn present(&self) -> &IndexIdentity {
        &self.present
    }

    /// Takes note of what the collection says, unless something younger is known: a copy of the
    /// collection may lag behind.
    pub(super) fn learn(&self, indexes: &Indexes) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let is_older = |known: &Indexes| known.age() > indexes.age();
        if !known.as_ref().is_some_and(is_older) {
            *known = Some(indexes.clone());
        }
    }

    fn known(&self) -> Result<Indexes, StoreError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = || StoreError::Internal("the collection was not read yet".into());
        known.clone().ok_or_else(unknown)
    }

    /// What the indexes are to this process.
    pub(super) fn roles(&self) -> Result<Roles, StoreError> {
        let indexes = self.known()?;
        self.roles_of(&indexes).ok_or_else(|| {
            StoreError::Unavailable(format!(
                "the collection is indexed with {} by now, and this service is configured for {}; restart it with the former",
                indexes.searched.index, self.present
            ))
        })
    }

    /// What these indexes are to this process; `None` if it is not configured for any that is
    /// searched.
    pub(super) fn roles_of(&self, indexes: &Indexes) -> Option<Roles> {
        let Indexes { searched, other } = indexes;
        let other = other.as_ref();
        let foreign = |found: &Numbered| found.index != self.present;
        let closing = other.filter(|(way, found)| *way == Way::Closing && foreign(found));
        let foreign_one = closing.map(|(_, found)| found.index.clone());
        let is_former = self
            .former
            .as_ref()
            .is_some_and(|former| searched.index.fits(former));
        if searched.index != self.present && is_former {
            let filled = other.filter(|(_, found)| !foreign(found));
            let stage = match filled {
                Some((Way::Closing, _)) => Stage::Closing,
                _ => Stage::Filling,
            };
            return Some(Roles {
                stage,
                present: filled.map(|(_, found)| found.number),
                former: Some(searched.number),
                foreign: foreign_one,
            });
        }
        if !searched.index.fits(&self.present) {
            return None;
        }
        let former = other.filter(|(way, _)| *way == Way::Switched);
        let former = former.map(|(_, found)| found.number);
        Some(Roles {
            stage: former.map_or(Stage::Settled, |_| Stage::Switched),
            present: Some(searched.number),
            former,
            foreign: foreign_one,
        })
    }
}

#[cfg(test)]
#[path = "indexes_tests.rs"]
mod tests;
