//! The world that programs have an effect on. It outlives the processes that execute them.

use std::collections::HashSet;

use uuid::Uuid;

/// Effect is what a program leaves outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// An attempt of a task began; with the key of its call.
    Ran(&'a str),
    /// The caller has seen the result of the task, so that it was acknowledged.
    Seen(&'a str),
}

/// Outside is where programs have their effects.
pub trait Outside: Send + Sync + 'static {
    /// Notes an effect, after all that were noted before.
    fn note(&self, effect: Effect<'_>);

    /// How often code came to this place so far, this time included.
    fn passes(&self, place: &str) -> u32;

    /// Whether what breaks in a run was repaired.
    fn is_repaired(&self, run: Uuid) -> bool;
}

/// The keys of tasks that ran again after their results were acknowledged, given all effects in
/// their order.
pub fn run_again<'a>(effects: impl IntoIterator<Item = Effect<'a>>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    let mut again = Vec::new();
    for effect in effects {
        match effect {
            Effect::Seen(key) => {
                seen.insert(key);
            }
            Effect::Ran(key) if seen.contains(key) => again.push(key),
            Effect::Ran(_) => {}
        }
    }
    again
}

#[cfg(test)]
mod tests {
    use super::{
        Effect::{Ran, Seen},
        run_again,
    };

    #[test]
    fn only_what_runs_after_it_was_seen_counts_as_run_again() {
        let fine = [Ran("a"), Ran("a"), Ran("b"), Seen("a"), Ran("b"), Seen("b")];
        assert!(run_again(fine).is_empty());
        assert_eq!(run_again([Ran("a"), Seen("a"), Ran("a")]), ["a"]);
    }
}
