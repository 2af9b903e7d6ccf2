//! What a seed stands for: runs, and faults.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use random_programs::{CACHED_ENTRYPOINT, ENTRYPOINT, Pace, Program};
use workflow_service::{
    domain::{Concurrency, Durability},
    engine::Retention,
};

/// Most runs of a seed.
const MAX_RUNS: u32 = 9;
/// Threads that they share.
const THREADS: u32 = 4;
/// Depth of blocks in blocks.
const DEPTH: u32 = 3;

/// Plan is what a client does about one run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) number: u32,
    pub(crate) thread: String,
    pub(crate) program: Program,
    /// Whether its output is cached, so that another run of the same program may be spared.
    pub(crate) is_cached: bool,
    /// How long it may execute, rests excluded.
    pub(crate) timeout: Option<Duration>,
    pub(crate) concurrency: Concurrency,
    pub(crate) durability: Durability,
    /// When it is started, since the beginning.
    pub(crate) start: Duration,
    /// How long after that it may execute, if not at once.
    pub(crate) start_after: Option<Duration>,
    /// When it is cancelled, since the beginning.
    pub(crate) cancel: Option<Duration>,
    /// Whether it is retried if it was cancelled.
    pub(crate) retries_cancelled: bool,
    /// Whether it is retried also if its thread went on meanwhile.
    pub(crate) branches: bool,
    /// Whether calls are given up, and made again, when they take long.
    pub(crate) is_impatient: bool,
}

/// Faults says how much goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Share of writes at which the process crashes.
    pub(crate) crashes: f64,
    /// Share of writes that the store refuses for now.
    pub(crate) refusals: f64,
    /// Share of messages that are said twice.
    pub(crate) repeats: f64,
    /// Longest delay of a message.
    pub(crate) longest_delay: Duration,
    /// Longest time of a commit.
    pub(crate) longest_commit: Duration,
    /// Longest life of a worker, if they are lost.
    pub(crate) worker_life: Option<Duration>,
    /// Runs that may be under way at once.
    pub(crate) slots: usize,
    /// Share of calls of targets that fail, or hang, for now.
    pub(crate) refused_targets: f64,
    /// Share of writes after which the clock is set, back or ahead.
    pub(crate) clock_steps: f64,
    /// How much a worker's clock may differ from that of the service.
    pub(crate) longest_skew: Duration,
    /// How long things are kept.
    pub(crate) retention: Retention,
}

pub(crate) fn runs(seed: u64) -> Vec<Plan> {
    let mut random = StdRng::seed_from_u64(seed);
    let count = random.random_range(1..=MAX_RUNS);
    let mut runs: Vec<Plan> = Vec::new();
    for number in 0..count {
        let mut run = run(&mut random, number);
        let earlier = runs.iter().rfind(|earlier| earlier.is_cached);
        if let Some(earlier) = earlier.filter(|_| run.is_cached && random.random_bool(0.8)) {
            run.program = earlier.program.clone();
        }
        runs.push(run);
    }
    runs
}

impl Plan {
    pub(crate) fn entrypoint(&self) -> &'static str {
        match self.is_cached {
            true => CACHED_ENTRYPOINT,
            false => ENTRYPOINT,
        }
    }

    /// The number that the run is given: runs that share an output must have the same.
    pub(crate) fn argument(&self) -> u32 {
        match self.is_cached {
            true => u32::MAX,
            false => self.number,
        }
    }
}

fn run(random: &mut StdRng, number: u32) -> Plan {
    let seconds =
        |random: &mut StdRng, most: f64| Duration::from_secs_f64(most * random.random::<f64>());
    let concurrency = match random.random_range(0..10) {
        0 => Concurrency::Reject,
        1..3 => Concurrency::Interrupt,
        3..5 => Concurrency::Rollback,
        _ => Concurrency::Enqueue,
    };
    let durability = match random.random_range(0..5) {
        0 => Durability::Async,
        1 => Durability::Exit,
        _ => Durability::Sync,
    };
    let start = match random.random_bool(0.5) {
        true => Duration::ZERO,
        false => seconds(random, 60.0),
    };
    Plan {
        number,
        thread: format!("thread-{}", random.random_range(0..THREADS)),
        program: Program::random(random, &Pace::SIMULATED, DEPTH),
        is_cached: random.random_bool(0.15),
        timeout: random
            .random_bool(0.15)
            .then(|| Duration::from_secs(1) + seconds(random, 9.0)),
        concurrency,
        durability,
        start,
        start_after: random.random_bool(0.15).then(|| seconds(random, 60.0)),
        cancel: random
            .random_bool(0.2)
            .then(|| start + seconds(random, 30.0)),
        retries_cancelled: random.random_bool(0.5),
        branches: random.random_bool(0.5),
        is_impatient: random.random_bool(0.2),
    }
}

impl Faults {
    pub(crate) fn random(random: &mut StdRng) -> Self {
        let mut one_of = |choices: &[f64]| choices[random.random_range(0..choices.len())];
        let mut ttl = |choices: &[f64]| {
            let seconds = one_of(choices);
            (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
        };
        let retention = Retention {
            threads: ttl(&[0.0, 0.0, 0.0, 600.0, 3000.0]),
            runs: ttl(&[0.0, 0.0, 0.0, 60.0, 1800.0]),
            journals: ttl(&[0.0, 0.0, 30.0, 600.0]),
        };
        Self {
            crashes: one_of(&[0.0, 0.01, 0.05, 0.2]),
            refusals: one_of(&[0.0, 0.0, 0.02, 0.1]),
            repeats: one_of(&[0.0, 0.05, 0.5]),
            longest_delay: Duration::from_secs_f64(one_of(&[0.0, 0.01, 1.0, 3.0])),
            longest_commit: Duration::from_secs_f64(one_of(&[0.0, 0.01, 1.0])),
            worker_life: Some(one_of(&[0.0, 0.0, 5.0, 60.0]))
                .filter(|seconds| *seconds > 0.0)
                .map(Duration::from_secs_f64),
            slots: if one_of(&[0.0, 1.0]) > 0.0 { 2 } else { 100 },
            refused_targets: one_of(&[0.0, 0.2, 0.6]),
            clock_steps: one_of(&[0.0, 0.0, 0.02]),
            longest_skew: Duration::from_secs_f64(one_of(&[0.0, 0.0, 4.0, 60.0])),
            retention,
        }
    }

    /// Nothing goes wrong.
    pub(crate) const NONE: Self = Self {
        crashes: 0.0,
        refusals: 0.0,
        repeats: 0.0,
        longest_delay: Duration::ZERO,
        longest_commit: Duration::ZERO,
        worker_life: None,
        slots: 100,
        refused_targets: 0.0,
        clock_steps: 0.0,
        longest_skew: Duration::ZERO,
        retention: Retention {
            threads: None,
            runs: None,
            journals: None,
        },
    };
}
