//! How long the steps of programs take.

use std::time::Duration;

use rand::{RngExt as _, rngs::StdRng};

/// Pace says how long the steps of a random program take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Longest time of a step that is at work.
    pub step: Duration,
    /// Time after which an attempt that hangs is given up.
    pub timeout: Duration,
    /// How long results are cached.
    pub cache: Duration,
    /// Longest time of most sleeps.
    pub sleep: Duration,
    /// Longest time of few sleeps.
    pub long_sleep: Duration,
}

impl Pace {
    /// Of simulated time, which costs nothing.
    pub const SIMULATED: Self = Self {
        step: Duration::from_secs(2),
        timeout: Duration::from_secs(20),
        cache: Duration::from_secs(40),
        sleep: Duration::from_secs(8),
        long_sleep: Duration::from_secs(3600),
    };

    /// Of real time. The timeout must not end attempts that a loaded machine delays; a long sleep
    /// must be long enough for a run to give its worker back.
    pub const REAL: Self = Self {
        step: Duration::from_millis(3),
        timeout: Duration::from_millis(400),
        cache: Duration::from_millis(500),
        sleep: Duration::from_millis(20),
        long_sleep: Duration::from_secs(6),
    };

    pub(crate) fn step(&self, random: &mut StdRng) -> Duration {
        // Many at once, and many at the same moment.
        self.step
            .mul_f64(f64::from(random.random_range(0..5)) / 4.0)
    }

    pub(crate) fn sleep(&self, random: &mut StdRng) -> Duration {
        match random.random_range(0..12) {
            0 => self.long_sleep,
            1 => Duration::ZERO,
            _ => self.sleep.mul_f64(random.random()),
        }
    }
}
