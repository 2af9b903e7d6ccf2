//! Random programs on simulated time: the real engine, worker and SQLite store, one thread, and
//! everything else decided by a seed: what is delayed, said twice or lost, when workers are lost,
//! what the store and targets refuse, when clocks are set and by how much they differ, how long
//! things are kept, and where the process crashes.
//!
//! What must hold whatever happens:
//! - each recorded call has one result, and a journal only grows (`ledger`)
//! - a result is acknowledged after it was recorded, in the order of the commits, and its task is
//!   not started again after that (`link`)
//! - one run of a thread is active at a time, and a dispatch that is over can write nothing more
//!   (`ledger`, `intruder`)
//! - nothing that was acknowledged to a client is lost: runs, answers, cancels (`client`)
//! - a run that was to stop is cancelled, or gone if it is rolled back, whatever it came to; one that
//!   takes the place of others has their thread next (`stops`)
//! - a run fails by its timeout if it took that long, and only then; one whose worker cannot get on
//!   yet is not handed out again and again (`timing`)
//! - a cache has what was put into it last, until it expires (`caches`)
//! - what is kept for a time is kept that long, and not much longer (`retention`)
//! - every run ends, and comes to what it comes to without any of this (`client`, `verdict`)
//!
//! A seed makes the same history whenever it is tried. `WEFT_TEST_SEED=n` tries one, which a failure
//! names together with its history; `WEFT_TEST_SEEDS=n` tries that many; otherwise as many as a few
//! seconds allow are tried, in CI as many as a minute allows.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod caches;
mod client;
mod double;
mod intruder;
mod ledger;
mod life;
mod link;
mod plan;
mod retention;
mod stops;
mod store;
mod timing;
mod verdict;
mod world;

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use life::Crash;

/// Threads that try seeds. Each waits for its store's thread most of the time.
const THREADS: usize = 2;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Tries seeds from `first` on until `enough` says so of the next one.
fn try_seeds(first: u64, enough: impl Fn(u64) -> bool + Sync) -> u64 {
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if enough(seed) {
                        next.fetch_sub(1, Ordering::Relaxed);
                        return;
                    }
                    life::simulate(seed, Crash::Random);
                }
            });
        }
    });
    next.into_inner() - first
}

#[test]
fn random_programs_end_as_they_do_without_faults() {
    let begin = Instant::now();
    let tried = match (number("WEFT_TEST_SEED"), number("WEFT_TEST_SEEDS")) {
        (Some(seed), _) => try_seeds(seed, |next| next > seed),
        (None, Some(seeds)) => try_seeds(0, |next| next >= seeds),
        (None, None) => {
            let is_ci = env::var("CI").is_ok_and(|value| value == "true");
            let limit = Duration::from_secs(if is_ci { 60 } else { 5 });
            try_seeds(0, |_| begin.elapsed() >= limit)
        }
    };
    println!("{tried} seeds in {:.1?}", begin.elapsed());
}

#[test]
fn a_crash_before_or_after_any_commit_changes_no_result() {
    const SEED: u64 = 1_000_000;
    let commits = life::simulate(SEED, Crash::Never).commits;
    assert!(commits > 20, "the seed commits next to nothing");
    for commit in 0..commits {
        life::simulate(SEED, Crash::Before(commit));
        life::simulate(SEED, Crash::After(commit));
    }
}

#[test]
fn a_seed_makes_the_same_history_whenever_it_is_tried() {
    for seed in 2_000_000..2_000_005 {
        let first = life::simulate(seed, Crash::Random).history;
        let second = life::simulate(seed, Crash::Random).history;
        let difference = first.iter().zip(&second).position(|(a, b)| a != b);
        let at = difference.unwrap_or_else(|| first.len().min(second.len()));
        assert_eq!(first.get(at), second.get(at), "seed {seed}, line {at}");
    }
}
