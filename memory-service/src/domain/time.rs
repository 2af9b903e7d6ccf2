//! Time: moments in microseconds, lifetimes, and the clock they come from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest lifetime: 100 years. Expiry times then stay below 2^53 microseconds, which the engine's
/// range conditions compare exactly, until the year 2155.
pub const MAX_TTL: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

/// A moment in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(i64);

impl Time {
    /// The moment `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The next moment that can be told apart.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How long ago `earlier` was; nothing if it is yet to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(if micros > 0 { micros.unsigned_abs() } else { 0 })
    }

    /// The moment at which a lifetime that starts now ends.
    #[must_use]
    pub const fn plus(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_add(ttl.0))
    }
}

/// How long an item lives after a write, or after a read that refreshes it.
///
/// Invariant: at least a microsecond, at most [`MAX_TTL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ttl(i64);

impl Ttl {
    /// A lifetime of `duration`, rounded up to a microsecond; `None` if it is zero, which stands
    /// for no end, or longer than [`MAX_TTL`].
    #[must_use]
    pub fn try_new(duration: Duration) -> Option<Self> {
        if duration.is_zero() || duration > MAX_TTL {
            return None;
        }
        i64::try_from(duration.as_nanos().div_ceil(1_000))
            .ok()
            .map(Self)
    }

    /// A lifetime that was checked before it was stored, in microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }
}

/// Where the time comes from. It may step back; nothing that is promised depends on it not to.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Time;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Time(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_round_up_to_microseconds_and_have_a_limit() {
        assert_eq!(Ttl::try_new(Duration::from_nanos(1)), Some(Ttl(1)));
        assert_eq!(Ttl::try_new(Duration::from_millis(5)), Some(Ttl(5_000)));
        assert_eq!(Ttl::try_new(Duration::ZERO), None);
        assert!(Ttl::try_new(MAX_TTL).is_some());
        assert_eq!(Ttl::try_new(MAX_TTL + Duration::from_nanos(1)), None);
    }

    #[test]
    fn the_machine_knows_the_time() {
        // 2020-09-13, in microseconds.
        assert!(SystemClock.now() > Time::from_micros(1_600_000_000_000_000));
    }
}
