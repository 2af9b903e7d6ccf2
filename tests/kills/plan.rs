//! What is run, and how.

use std::time::Duration;

use e2e::payload;
use prost_types::Timestamp;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use random_programs::{Argument, CACHED_ENTRYPOINT, ENTRYPOINT, Pace, Program};
use weft_proto::workflow::v1::{Concurrency, Durability, StartRunRequest};

/// Depth of blocks in blocks.
const DEPTH: u32 = 3;
/// Runs that share a few threads.
const RUNS_OF_A_GROUP: u32 = 8;
const THREADS_OF_A_GROUP: u32 = 4;

/// Plan is what a client does about one run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) number: u32,
    pub(crate) thread: String,
    pub(crate) program: Program,
    /// Whether its output is cached, so that others of its group may be spared.
    pub(crate) is_cached: bool,
    pub(crate) concurrency: Concurrency,
    pub(crate) durability: Durability,
    /// How long after its start it may execute.
    start_after: Option<Duration>,
    /// When it is cancelled, after it was accepted.
    pub(crate) cancel: Option<Duration>,
    pub(crate) retries_cancelled: bool,
    /// Whether it is retried as a branch if its thread went on.
    pub(crate) branches: bool,
    /// Chance of this client.
    pub(crate) random: StdRng,
}

impl Plan {
    pub(crate) fn random(seed: u64, number: u32) -> Self {
        let mut random = StdRng::seed_from_u64(seed << 32 | u64::from(number));
        let millis = |random: &mut StdRng| Duration::from_millis(random.random_range(0..500));
        let group = number / RUNS_OF_A_GROUP;
        let program = Program::random(&mut random, &Pace::REAL, DEPTH);
        let is_cached = random.random_bool(0.15);
        // Those of a group are the same.
        let mut shared = StdRng::seed_from_u64(seed << 32 | u64::from(group) | 1 << 31);
        let program = match is_cached {
            true => Program::random(&mut shared, &Pace::REAL, DEPTH),
            false => program,
        };
        Self {
            number,
            thread: format!(
                "{seed}-{group}-{}",
                random.random_range(0..THREADS_OF_A_GROUP)
            ),
            program,
            is_cached,
            concurrency: match random.random_range(0..12) {
                0 => Concurrency::Reject,
                1 => Concurrency::Interrupt,
                2 => Concurrency::Rollback,
                _ => Concurrency::Enqueue,
            },
            durability: match random.random_range(0..5) {
                0 => Durability::Async,
                1 => Durability::Exit,
                _ => Durability::Sync,
            },
            start_after: random.random_bool(0.1).then(|| millis(&mut random)),
            cancel: random.random_bool(0.1).then(|| millis(&mut random)),
            retries_cancelled: random.random(),
            branches: random.random(),
            random,
        }
    }

    /// The same whenever it is asked for, but for the time that has come meanwhile.
    pub(crate) fn request(&self, begin: Timestamp) -> StartRunRequest {
        let argument = Argument {
            number: if self.is_cached { 0 } else { self.number },
            program: self.program.clone(),
        };
        let after = self.start_after.unwrap_or_default();
        let nanos = begin.nanos.unsigned_abs() + after.subsec_nanos();
        StartRunRequest {
            entrypoint: if self.is_cached {
                CACHED_ENTRYPOINT.to_owned()
            } else {
                ENTRYPOINT.to_owned()
            },
            thread_id: self.thread.clone(),
            input: Some(payload::json(&serde_json::json!(argument))),
            concurrency: self.concurrency.into(),
            durability: self.durability.into(),
            start_after: self.start_after.map(|_| Timestamp {
                seconds: begin.seconds + i64::from(nanos / 1_000_000_000),
                nanos: (nanos % 1_000_000_000) as i32,
            }),
            request_id: format!("{}-{}", self.thread, self.number),
            ..StartRunRequest::default()
        }
    }
}
