//! Items, and what a write makes of the item that was there.

use std::fmt;

use uuid::Uuid;

use super::{
    document::Document,
    key::Key,
    namespace::Namespace,
    time::{Time, Ttl},
};

/// Names one item of a tenant. Ordered by namespace, then key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId {
    /// Where the item is.
    pub namespace: Namespace,
    /// What it is called there.
    pub key: Key,
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.key)
    }
}

/// The version of an item: changes with every write, opaque to callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Etag(Uuid);

impl Etag {
    /// A version that no item ever had.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads a version back; `None` if no version is written like this.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }

    /// It as a number.
    #[must_use]
    pub fn number(&self) -> u128 {
        self.0.as_u128()
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Everything about an item that writes look at and decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// When the item was first written.
    pub create_time: Time,
    /// When it was last written; grows with every write.
    pub update_time: Time,
    /// From when on it is gone; `None` for never.
    pub expire_time: Option<Time>,
    /// What a refresh restarts; `None` exactly if `expire_time` is.
    pub ttl: Option<Ttl>,
    /// Which write this is the outcome of.
    pub etag: Etag,
}

impl Version {
    /// Whether the item is there at `now`. An expired item is as good as deleted.
    #[must_use]
    pub fn is_live(&self, now: Time) -> bool {
        self.expire_time.is_none_or(|expiry| now < expiry)
    }

    /// What a write at `now` makes of the item that was there, if `precondition` holds.
    ///
    /// # Errors
    /// [`Conflict`] if it does not.
    pub fn written(
        current: Option<&Self>,
        precondition: &Precondition,
        now: Time,
        ttl: Option<Ttl>,
        etag: Etag,
    ) -> Result<Self, Conflict> {
        let live = current.filter(|version| version.is_live(now));
        precondition.check(live)?;
        // Also after an expired item that is still there, so that no observer sees time go back.
        let update_time = current.map_or(now, |version| now.max(version.update_time.next()));
        Ok(Self {
            create_time: live.map_or(update_time, |version| version.create_time),
            update_time,
            expire_time: ttl.map(|ttl| now.plus(ttl)),
            ttl,
            etag,
        })
    }

    /// The same version with its lifetime restarted at `now`; `None` if it is gone, or lives
    /// forever.
    #[must_use]
    pub fn refreshed(&self, now: Time) -> Option<Self> {
        let ttl = self.ttl.filter(|_| self.is_live(now))?;
        Some(Self {
            expire_time: Some(now.plus(ttl)),
            ..self.clone()
        })
    }
}

/// One stored document.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name.
    pub id: ItemId,
    /// The document.
    pub value: Document,
    /// Times and etag.
    pub version: Version,
}

/// What must hold for a write to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The item exists.
    Exists,
    /// The item does not exist.
    Absent,
    /// The item exists with the etag of this text.
    Etag(String),
}

impl Precondition {
    /// Checks the item that is there, which must not be an expired one.
    ///
    /// # Errors
    /// [`Conflict`] if the precondition does not hold.
    pub fn check(&self, live: Option<&Version>) -> Result<(), Conflict> {
        match (self, live) {
            (Self::None, _) | (Self::Exists, Some(_)) | (Self::Absent, None) => Ok(()),
            (Self::Exists, None) => Err(Conflict::Missing),
            (Self::Absent, Some(_)) => Err(Conflict::Exists),
            (Self::Etag(expected), Some(version)) if version.etag.to_string() == *expected => {
                Ok(())
            }
            (Self::Etag(_), _) => Err(Conflict::EtagMismatch),
        }
    }
}

/// Why a write did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The item was to exist.
    #[error("the item does not exist")]
    Missing,
    /// The item was not to exist.
    #[error("the item exists already")]
    Exists,
    /// The item was to have another etag.
    #[error("the item does not have this etag; read it again and redo the change")]
    EtagMismatch,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Time {
        Time::from_micros(micros)
    }

    fn write(current: Option<&Version>, now: i64, ttl: Option<i64>) -> Version {
        let ttl = ttl.map(Ttl::from_micros);
        Version::written(current, &Precondition::None, at(now), ttl, Etag::fresh()).unwrap()
    }

    #[test]
    fn a_rewrite_keeps_create_time_and_renews_everything_else() {
        let first = write(None, 100, Some(50));
        let second = write(Some(&first), 120, None);
        assert_eq!(second.create_time, at(100));
        assert_eq!(
            (second.update_time, second.expire_time, second.ttl),
            (at(120), None, None)
        );
        assert_ne!(first.etag, second.etag);
    }

    #[test]
    fn update_time_grows_although_the_clock_stops_or_steps_back() {
        let first = write(None, 100, None);
        let second = write(Some(&first), 100, None);
        let third = write(Some(&second), 7, None);
        assert_eq!(
            [first, second, third].map(|version| version.update_time.micros()),
            [100, 101, 102]
        );
    }

    #[test]
    fn an_expired_item_is_as_good_as_deleted() {
        let old = write(None, 100, Some(50));
        assert!(old.is_live(at(149)) && !old.is_live(at(150)));
        let write_if = |precondition: &Precondition| {
            Version::written(Some(&old), precondition, at(150), None, Etag::fresh())
        };
        assert_eq!(write_if(&Precondition::Exists), Err(Conflict::Missing));
        assert_eq!(
            write_if(&Precondition::Etag(old.etag.to_string())),
            Err(Conflict::EtagMismatch)
        );
        assert_eq!(
            write_if(&Precondition::Absent).unwrap().create_time,
            at(150)
        );
        assert_eq!(old.refreshed(at(150)), None);
    }

    #[test]
    fn a_refresh_restarts_the_lifetime_and_changes_nothing_else() {
        let version = write(None, 100, Some(50));
        let refreshed = version.refreshed(at(140)).unwrap();
        assert_eq!(
            refreshed,
            Version {
                expire_time: Some(at(190)),
                ..version
            }
        );
        assert_eq!(write(None, 100, None).refreshed(at(140)), None);
    }

    #[test]
    fn preconditions_hold_or_say_why_not() {
        let version = write(None, 100, None);
        let etag = |text: &str| Precondition::Etag(text.to_owned());
        for (precondition, live, absent) in [
            (Precondition::None, Ok(()), Ok(())),
            (Precondition::Exists, Ok(()), Err(Conflict::Missing)),
            (Precondition::Absent, Err(Conflict::Exists), Ok(())),
            (
                etag(&version.etag.to_string()),
                Ok(()),
                Err(Conflict::EtagMismatch),
            ),
            (
                etag("other"),
                Err(Conflict::EtagMismatch),
                Err(Conflict::EtagMismatch),
            ),
        ] {
            assert_eq!(precondition.check(Some(&version)), live, "{precondition:?}");
            assert_eq!(precondition.check(None), absent, "{precondition:?}");
        }
    }
}
