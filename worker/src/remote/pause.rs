//! How long to wait between streams.

use std::time::Duration;

/// Longest first pause: well within the grace that a service gives a session.
const FIRST: Duration = Duration::from_millis(250);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses between tries to connect. They are random, so that workers which lost their service
/// together do not return together, and grow from try to try.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    tries: u32,
}

impl Pauses {
    pub(super) fn next(&mut self) -> Duration {
        let longest = FIRST.saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        longest.mul_f64(rand::random_range(0.0..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_differ() {
        let mut firsts: Vec<_> = (0..20).map(|_| Pauses::default().next()).collect();
        assert!(firsts.iter().all(|&pause| pause <= FIRST));
        firsts.sort_unstable();
        firsts.dedup();
        assert!(firsts.len() > 10);
        let mut pauses = Pauses::default();
        let later: Vec<_> = (0..100).map(|_| pauses.next()).collect();
        assert!(later.iter().all(|&pause| pause <= LONGEST));
        assert!(later.iter().any(|&pause| pause > LONGEST / 2));
    }
}
