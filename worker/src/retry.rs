//! When a failed task is tried again.

use std::time::Duration;

use crate::Failure;

/// RetryPolicy says how often and when a task is tried again after a retryable failure.
///
/// The service, not the worker, applies it, so that it holds for every language alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included; at least 1. They are counted within one execution: a task
    /// that was not recorded when the run was cut off by a crash has all of them again.
    pub max_attempts: u32,
    /// Delay before the second attempt, before jitter.
    pub initial_delay: Duration,
    /// What the delay is multiplied with for each further attempt.
    pub factor: f64,
    /// Longest delay, before jitter.
    pub max_delay: Duration,
}

impl RetryPolicy {
    /// One attempt.
    pub const NEVER: Self = Self {
        max_attempts: 1,
        initial_delay: Duration::ZERO,
        factor: 1.0,
        max_delay: Duration::ZERO,
    };

    /// A policy with doubling delays.
    pub const fn exponential(
        max_attempts: u32,
        initial_delay: Duration,
        max_delay: Duration,
    ) -> Self {
        Self {
            max_attempts,
            initial_delay,
            factor: 2.0,
            max_delay,
        }
    }

    /// The delay before the attempt after `attempt` (counted from 1) failed with `failure`, or
    /// `None` if there is to be none.
    ///
    /// `jitter` is a random number from 0 to 1: the delay is spread over the upper half of its
    /// range, so that callers that failed together do not return together. A delay that the cause
    /// of the failure asked for is a lower bound.
    pub fn delay(&self, attempt: u32, failure: &Failure, jitter: f64) -> Option<Duration> {
        if !failure.retryable || attempt >= self.max_attempts {
            return None;
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.initial_delay.as_secs_f64() * self.factor.powi(exponent);
        let capped = seconds.min(self.max_delay.as_secs_f64());
        let spread = Duration::from_secs_f64(capped * (0.5 + 0.5 * jitter.clamp(0.0, 1.0)));
        Some(spread.max(failure.retry_after.unwrap_or_default()))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::NEVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy::exponential(4, Duration::from_secs(1), Duration::from_secs(3));

    #[test]
    fn delays_double_up_to_the_cap_and_end_with_the_attempts() {
        let failure = Failure::transient("AWAY", "away");
        let delays: Vec<_> = (1..=4)
            .map(|attempt| POLICY.delay(attempt, &failure, 1.0))
            .collect();
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(delays, [seconds(1), seconds(2), seconds(3), None]);
        assert_eq!(
            POLICY.delay(1, &failure, 0.0),
            Some(Duration::from_millis(500))
        );
    }

    #[test]
    fn a_final_failure_is_not_tried_again() {
        assert_eq!(POLICY.delay(1, &Failure::new("BAD", "bad"), 0.5), None);
    }

    #[test]
    fn a_delay_asked_for_is_a_lower_bound() {
        let failure = Failure::transient("BUSY", "busy").retry_after(Some(Duration::from_secs(9)));
        assert_eq!(POLICY.delay(1, &failure, 0.5), Some(Duration::from_secs(9)));
    }
}
