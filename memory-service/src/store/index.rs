//! Two indexes of one store: the one that is configured now, and the one before it, from which a
//! store that is served moves on to it.
//!
//! Items are put into the present index by and by, while writes and searches use the former one. At
//! the end every write goes into both, so that the last items can be caught up with; then searches
//! use the present index, all at once, and the former one is kept for as long as searches by it may
//! be under way.

use super::{
    Answer, PointId, Vectors,
    archive::{Record, Records},
};

/// One of two indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// The one that is configured.
    Present,
    /// The one that was configured before it.
    Former,
}

impl Index {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Present, Self::Former];
}

/// How far a store is on its way from the former index to the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Searches use the former index; items are put into the present one by and by.
    Filling,
    /// As before; whatever is written from now on is in both, so that an end is reached.
    Closing,
    /// Searches use the present index; the former one is there for those that are under way.
    Switched,
    /// Everything is in the present index, and there is no other.
    Settled,
}

impl Stage {
    /// The index that searches use.
    #[must_use]
    pub fn searched(self) -> Index {
        match self {
            Self::Filling | Self::Closing => Index::Former,
            Self::Switched | Self::Settled => Index::Present,
        }
    }

    /// Whether a write must be in this index.
    #[must_use]
    pub fn needs(self, index: Index) -> bool {
        match index {
            Index::Present => self != Self::Filling,
            Index::Former => self < Self::Switched,
        }
    }
}

/// Something for each of two indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Each<T> {
    /// For the present one.
    pub present: Option<T>,
    /// For the former one.
    pub former: Option<T>,
}

impl<T> Each<T> {
    /// For the present one only.
    pub fn present(value: T) -> Self {
        Self {
            present: Some(value),
            former: None,
        }
    }

    /// For this one.
    pub fn get(&self, index: Index) -> Option<&T> {
        match index {
            Index::Present => self.present.as_ref(),
            Index::Former => self.former.as_ref(),
        }
    }

    /// For this one, to be changed.
    pub fn get_mut(&mut self, index: Index) -> &mut Option<T> {
        match index {
            Index::Present => &mut self.present,
            Index::Former => &mut self.former,
        }
    }
}

/// How many items are in the present index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Those that are not in it yet.
    pub left: u64,
    /// All.
    pub items: u64,
}

/// A store on its way from one index to another.
pub trait Renewal: Send + Sync + 'static {
    /// How far it is, as far as this process knows. It only goes forward.
    fn stage(&self) -> Stage;

    /// How far it is at this moment, whichever process took it there.
    fn look(&self) -> Answer<'_, Stage>;

    /// How many items are in the present index, and how many are not.
    fn progress(&self) -> Answer<'_, Progress>;

    /// At most `limit` items, from `from` on, that are not in the present index yet, without
    /// vectors. Expired ones that were not swept are among them.
    fn unindexed(&self, from: Option<PointId>, limit: usize) -> Answer<'_, Records>;

    /// Puts items into the present index, with these vectors, unless they changed meanwhile:
    /// whoever changed them sees to it.
    fn index(&self, records: Vec<Record>) -> Answer<'_, ()>;

    /// Whether what was written by now will be in the present index before searches use that, also if
    /// it was written without vectors for it. If not, they use it already.
    fn catches_up(&self) -> Answer<'_, bool>;

    /// Goes to the next stage if everything is ready for it; answers with the stage that it is in
    /// then. [`Stage::Switched`] is reached only if no item is left, and survives a crash.
    fn advance(&self) -> Answer<'_, Stage>;
}

/// What an item is found by, in each index that it is in.
pub type IndexVectors = Each<Vectors>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_written_is_in_the_index_that_is_searched_then_and_next() {
        let stages = [
            Stage::Filling,
            Stage::Closing,
            Stage::Switched,
            Stage::Settled,
        ];
        for pair in stages.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(pair[0].needs(pair[0].searched()));
            // But for the first stage, after which items are looked through once more.
            assert!(pair[0] == Stage::Filling || pair[0].needs(pair[1].searched()));
        }
    }
}
