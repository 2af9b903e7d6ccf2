//! What programs are made of, and what they come to.

use std::time::Duration;

use rand::{RngExt as _, rngs::StdRng};
use serde::{Deserialize, Serialize};

use crate::Pace;

/// Reason of a run that fails until it is repaired and retried.
pub const BROKEN: &str = "BROKEN";
/// Reason of a run that fails for good.
pub const FAIL: &str = "FAIL";

/// What calls of targets ask.
pub const MODEL_TARGET: &str = "llm/chat";

/// Name of the task that workers offer.
pub(crate) const OFFERED: &str = "offered";
/// What calls of it ask.
pub(crate) const OFFERED_TARGET: &str = "task/offered";

/// Classes of cached calls: few, so that results are found.
const CLASSES: u64 = 3;
/// Largest number in a program: sums stay far from overflow.
const NUMBERS: u64 = 1_000_000;
/// Parts of a sequence or of a parallel block.
const MAX_PARTS: usize = 4;

/// Program is what one run does, as it is given to the entrypoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Program {
    /// A task that fails this often with a retryable failure, then returns its number.
    Task {
        /// What it returns.
        number: u64,
        /// Attempts of an execution that fail.
        failures: u32,
        /// Time that an attempt takes.
        takes: Duration,
    },
    /// A task whose first attempt hangs until its timeout.
    Hangs {
        /// What it returns.
        number: u64,
        /// Its timeout.
        timeout: Duration,
    },
    /// A task whose first attempt gives no sign of life until its idle timeout, and whose later ones
    /// take longer than that and give some.
    Silent {
        /// What it returns.
        number: u64,
        /// Its idle timeout.
        idle: Duration,
    },
    /// A task whose results are cached: for all calls of one class, on all threads.
    Cached {
        /// Its argument. What it returns follows from it.
        class: u64,
        /// How long a result is kept.
        ttl: Duration,
        /// Time that an attempt takes.
        takes: Duration,
    },
    /// A call of something that the service does itself: it asks [`MODEL_TARGET`] to repeat the
    /// number.
    Target {
        /// The number.
        number: u64,
        /// Time after which an attempt is given up.
        timeout: Duration,
    },
    /// A task that workers offer on its own, called as [`OFFERED_TARGET`]. It fails this often with
    /// a retryable failure, then returns its number.
    Offered {
        /// What it returns.
        number: u64,
        /// Attempts of an execution that fail.
        failures: u32,
        /// Time that an attempt takes.
        takes: Duration,
    },
    /// A task whose caller goes on when the run is to stop, as if it had succeeded.
    Stubborn {
        /// What it returns.
        number: u64,
        /// Time that an attempt takes.
        takes: Duration,
    },
    /// A task that fails for good, caught by its caller.
    Caught {
        /// What it comes to.
        number: u64,
    },
    /// A task that fails the run with [`BROKEN`] until that is repaired.
    Broken {
        /// What it returns then.
        number: u64,
    },
    /// Code that fails retryably this often: the entrypoint is tried again. Never beside other
    /// calls of the same code: which of those come first must not depend on it.
    Flaky {
        /// What it comes to; names the place.
        number: u64,
        /// Times that it fails.
        failures: u32,
    },
    /// A task that fails the run with [`FAIL`].
    Fail {
        /// Names the failure.
        number: u64,
    },
    /// A task that executes a program of its own.
    Nested(Box<Program>),
    /// One after the other.
    Sequence(Vec<Program>),
    /// All at once, each in a task of its own.
    Join(Vec<Program>),
    /// All at once, in the same code.
    Branches(Vec<Program>),
    /// The first of several tasks; which one it is, another task is told.
    Race(Vec<Duration>),
    /// The first of a task and a timer; which one it is, another task is told.
    Deadline {
        /// Time that the task takes.
        takes: Duration,
        /// Time of the timer.
        limit: Duration,
    },
    /// A question, answered with a number that follows from it.
    Ask {
        /// The question.
        number: u64,
    },
    /// A wait.
    Sleep(Duration),
    /// Derived values and a recorded time: the same in every replay.
    Values,
}

impl Program {
    /// A program with blocks in blocks up to this depth.
    pub fn random(random: &mut StdRng, pace: &Pace, depth: u32) -> Self {
        Self::part(random, pace, depth, true)
    }

    /// `is_alone`: whether nothing else goes on in the same code.
    fn part(random: &mut StdRng, pace: &Pace, depth: u32, is_alone: bool) -> Self {
        let number = random.random_range(0..NUMBERS);
        if depth > 0 && random.random_bool(0.6) {
            let mut parts = |is_alone| {
                let count = random.random_range(1..=MAX_PARTS);
                let parts = (0..count).map(|_| Self::part(random, pace, depth - 1, is_alone));
                parts.collect()
            };
            return match number % 4 {
                0 => Self::Nested(Box::new(Self::part(random, pace, depth - 1, true))),
                1 => Self::Sequence(parts(is_alone)),
                2 => Self::Branches(parts(false)),
                _ => Self::Join(parts(true)),
            };
        }
        match random.random_range(0..100) {
            0..25 => Self::Task {
                number,
                failures: [0, 0, 0, 1, 2][random.random_range(0..5)],
                takes: pace.step(random),
            },
            25..29 => Self::Cached {
                class: number % CLASSES,
                ttl: pace.cache,
                takes: pace.step(random),
            },
            29..33 => Self::Target {
                number,
                timeout: pace.timeout,
            },
            33..35 => Self::Silent {
                number,
                idle: pace.timeout * 2,
            },
            35..39 => Self::Hangs {
                number,
                timeout: pace.timeout,
            },
            39..46 => Self::Caught { number },
            46..48 => Self::Broken { number },
            48..53 if is_alone => Self::Flaky {
                number,
                failures: random.random_range(1..3),
            },
            53..54 => Self::Fail { number },
            54..64 => {
                let racers = random.random_range(2..5);
                Self::Race((0..racers).map(|_| pace.step(random)).collect())
            }
            64..70 => Self::Deadline {
                takes: pace.step(random),
                limit: pace.step(random),
            },
            70..80 => Self::Ask { number },
            80..86 => Self::Sleep(pace.sleep(random)),
            86..91 => Self::Offered {
                number,
                failures: [0, 0, 1][random.random_range(0..3)],
                takes: pace.step(random),
            },
            91..95 => Self::Stubborn {
                number,
                takes: pace.step(random),
            },
            _ => Self::Values,
        }
    }

    /// What the program comes to in a run that is tried again when it fails with [`BROKEN`]: a
    /// number, or the number of the [`Program::Fail`] that ends it.
    ///
    /// # Errors
    /// That number.
    pub fn expected(&self) -> Result<u64, u64> {
        match self {
            Self::Task { number, .. }
            | Self::Hangs { number, .. }
            | Self::Silent { number, .. }
            | Self::Target { number, .. }
            | Self::Offered { number, .. }
            | Self::Stubborn { number, .. }
            | Self::Caught { number }
            | Self::Broken { number }
            | Self::Flaky { number, .. } => Ok(*number),
            Self::Cached { class, .. } => Ok(of_class(*class)),
            Self::Fail { number } => Err(*number),
            Self::Nested(inner) => inner.expected().map(|number| number + 1),
            // Parallel parts all end before the first failure, in their order, counts.
            Self::Sequence(parts) | Self::Join(parts) | Self::Branches(parts) => {
                parts.iter().map(Self::expected).sum()
            }
            // Which one wins may differ from run to run; that it is one of them may not.
            Self::Race(_) | Self::Deadline { .. } => Ok(7),
            Self::Ask { number } => Ok(answer(*number)),
            Self::Sleep(_) | Self::Values => Ok(0),
        }
    }
}

/// What a cached task returns for its argument.
pub(crate) fn of_class(class: u64) -> u64 {
    class * 1000 + 17
}

/// The answer to a question of a program.
pub fn answer(question: u64) -> u64 {
    question * 3 + 1
}
