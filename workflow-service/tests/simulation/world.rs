//! What outlives the simulated processes: time, chance, the history, and what clients know.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, UNIX_EPOCH},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use random_programs::Memory;
use tokio::{sync::Notify, time::Instant};
use weft_worker::Clock;
use workflow_service::domain::{Durability, RunId, Timestamp};

use crate::{
    caches::Caches,
    client::Progress,
    ledger::Ledger,
    life::Crash,
    link::Heard,
    plan::{self, Faults, Plan},
    retention::Swept,
    stops::Stops,
    timing::Timing,
};

/// When it all begins: 2030-01-01, in microseconds.
const BEGINNING: i64 = 1_893_456_000_000_000;
/// Time that a process is down.
const LONGEST_DOWNTIME: Duration = Duration::from_secs(20);
/// Farthest that the clock is set, back or ahead.
const LONGEST_STEP: Duration = Duration::from_secs(3600);
/// Lines of the history that a failure shows.
const SHOWN: usize = 400;
/// Crashes of a seed; after them the process is left alone.
const MAX_CRASHES: u32 = 40;

/// Workers of a seed; the last one is not lost.
const MAX_WORKERS: u32 = 40;

/// World is shared by all parts of the simulation.
#[derive(Clone)]
pub(crate) struct World(Arc<Shared>);

struct Shared {
    seed: u64,
    crash: Crash,
    plans: Vec<Plan>,
    outside: Memory,
    faults: Faults,
    state: Mutex<State>,
    /// Told when the process crashes.
    crashed: Notify,
}

pub(crate) struct State {
    pub(crate) random: StdRng,
    pub(crate) history: Vec<String>,
    pub(crate) ledger: Ledger,
    pub(crate) heard: Heard,
    pub(crate) caches: Caches,
    pub(crate) timing: Timing,
    pub(crate) stops: Stops,
    pub(crate) swept: Swept,
    pub(crate) progress: BTreeMap<u32, Progress>,
    /// Microseconds by which the clock was set in all.
    clock_set_by: i64,
    /// Whether it is set now and then.
    is_clock_set: bool,
    /// Time that passed in former lives.
    passed: Duration,
    /// When this life began.
    born: Option<Instant>,
    pub(crate) is_crashed: bool,
    failure: Option<String>,
    pub(crate) crashes: u32,
    pub(crate) commits: u64,
    workers: u32,
    /// Numbers of the runs with these ids.
    numbers: HashMap<RunId, u32>,
    durabilities: HashMap<u32, Durability>,
}

impl State {
    /// The durability of the run with this id.
    pub(crate) fn durability_of(&self, id: RunId) -> Durability {
        let number = self.numbers.get(&id);
        let durability = number.and_then(|number| self.durabilities.get(number));
        durability.copied().unwrap_or(Durability::Sync)
    }
}

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Commit,
    Refuse,
    CrashBefore,
    CrashAfter,
}

impl World {
    pub(crate) fn new(seed: u64, crash: Crash) -> Self {
        let mut random = StdRng::seed_from_u64(seed ^ 0x5eed);
        let faults = match crash {
            Crash::Random => Faults::random(&mut random),
            Crash::Never | Crash::Before(_) | Crash::After(_) => Faults::NONE,
        };
        let mut plans = plan::runs(seed);
        if crash == Crash::Never || faults.worker_life.is_none() && faults.crashes == 0.0 {
            // The comparison: without faults, everything is as it is said to be.
            for plan in &mut plans {
                plan.is_impatient = false;
            }
        }
        let state = State {
            random,
            history: Vec::new(),
            ledger: Ledger::default(),
            heard: Heard::default(),
            caches: Caches::default(),
            timing: Timing::default(),
            stops: Stops::default(),
            swept: Swept::default(),
            clock_set_by: 0,
            is_clock_set: true,
            progress: BTreeMap::new(),
            passed: Duration::ZERO,
            born: None,
            is_crashed: false,
            failure: None,
            crashes: 0,
            commits: 0,
            workers: 0,
            numbers: HashMap::new(),
            durabilities: plans
                .iter()
                .map(|plan| (plan.number, plan.durability))
                .collect(),
        };
        Self(Arc::new(Shared {
            seed,
            crash,
            plans,
            outside: Memory::default(),
            faults,
            state: Mutex::new(state),
            crashed: Notify::new(),
        }))
    }

    pub(crate) fn plans(&self) -> &[Plan] {
        &self.0.plans
    }

    /// What programs have their effects on.
    pub(crate) fn outside(&self) -> &Memory {
        &self.0.outside
    }

    pub(crate) fn faults(&self) -> Faults {
        self.0.faults
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// A process begins to live. Called on its runtime.
    pub(crate) fn begin_life(&self) {
        let mut state = self.state();
        state.born = Some(Instant::now());
        state.is_crashed = false;
        state.heard.forget_executions();
        drop(state);
        self.note("the process starts");
    }

    /// It has ended. Called on its runtime.
    pub(crate) fn end_life(&self) {
        let mut state = self.state();
        let down = LONGEST_DOWNTIME.mul_f64(state.random.random());
        let lived = state.born.take().map(|born| born.elapsed());
        state.passed += lived.unwrap_or_default() + down;
    }

    pub(crate) async fn crashed(&self) {
        self.0.crashed.notified().await;
    }

    pub(crate) fn crash(&self) {
        self.note("CRASH");
        let mut state = self.state();
        state.is_crashed = true;
        state.crashes += 1;
        state.ledger.all_over();
        state.timing.all_over();
        self.0.crashed.notify_one();
    }

    /// What happens to the next write.
    pub(crate) fn fate(&self) -> Fate {
        let mut state = self.state();
        let commit = state.commits;
        match self.0.crash {
            Crash::Never => {}
            Crash::Before(at) if state.crashes == 0 && at == commit => return Fate::CrashBefore,
            Crash::After(at) if state.crashes == 0 && at == commit => return Fate::CrashAfter,
            Crash::Before(_) | Crash::After(_) => {}
            Crash::Random => {
                if state.crashes < MAX_CRASHES && state.random.random_bool(self.0.faults.crashes) {
                    return match state.random.random() {
                        true => Fate::CrashBefore,
                        false => Fate::CrashAfter,
                    };
                }
                if state.random.random_bool(self.0.faults.refusals) {
                    return Fate::Refuse;
                }
            }
        }
        Fate::Commit
    }

    /// Passes a random time, `longest` at most.
    pub(crate) async fn pause(&self, longest: Duration) {
        if !longest.is_zero() {
            let share: f64 = self.state().random.random();
            tokio::time::sleep(longest.mul_f64(share)).await;
        }
    }

    pub(crate) fn chance(&self, share: f64) -> bool {
        self.state().random.random_bool(share)
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        let state = self.state();
        state.passed + state.born.map(|born| born.elapsed()).unwrap_or_default()
    }

    pub(crate) fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.elapsed().as_micros()).unwrap();
        Timestamp::from_micros(BEGINNING + passed + self.state().clock_set_by)
    }

    /// The clock of the service.
    pub(crate) fn clock(&self) -> Clock {
        self.clock_ahead_by(0)
    }

    /// The clock of a new worker.
    pub(crate) fn worker_clock(&self) -> Clock {
        let skew = self.faults().longest_skew.as_micros() as f64;
        let share: f64 = self.state().random.random();
        self.clock_ahead_by((skew * (2.0 * share - 1.0)) as i64)
    }

    fn clock_ahead_by(&self, micros: i64) -> Clock {
        let world = self.clone();
        Clock::new(move || {
            let micros = u64::try_from(world.now().micros() + micros).unwrap();
            UNIX_EPOCH + Duration::from_micros(micros)
        })
    }

    /// Sets the clock now and then.
    pub(crate) fn set_clock(&self) {
        let mut state = self.state();
        if state.is_clock_set && state.random.random_bool(self.0.faults.clock_steps) {
            let share = 2.0 * state.random.random::<f64>() - 1.0;
            state.clock_set_by += (LONGEST_STEP.as_micros() as f64 * share) as i64;
            drop(state);
            self.note("the clock is set");
        }
    }

    /// Sets the clock ahead for the last time: all that is to expire has expired then.
    pub(crate) fn set_clock_to_the_end(&self) {
        let mut state = self.state();
        state.is_clock_set = false;
        // Whatever it was set back before.
        let ahead = i64::try_from(LONGEST_STEP.as_micros()).unwrap() * 100;
        state.clock_set_by += ahead;
    }

    /// How long the next worker lives.
    pub(crate) fn life_of_worker(&self) -> Duration {
        let mut state = self.state();
        state.workers += 1;
        match self.0.faults.worker_life {
            Some(longest) if state.workers <= MAX_WORKERS => longest.mul_f64(state.random.random()),
            _ => Duration::MAX,
        }
    }

    /// A new id for a run, greater than those before, the same whenever the seed is tried.
    pub(crate) fn run_id(&self, number: u32) -> RunId {
        let mut state = self.state();
        let order = u64::try_from(state.numbers.len()).unwrap_or_default();
        let noise: [u8; 10] = state.random.random();
        let id = RunId(uuid::Builder::from_unix_timestamp_millis(order, &noise).into_uuid());
        state.numbers.insert(id, number);
        id
    }

    /// The number of the run with this id.
    pub(crate) fn number_of(&self, id: RunId) -> u32 {
        self.state().numbers.get(&id).copied().unwrap_or(u32::MAX)
    }

    /// The plan of the run with this id.
    pub(crate) fn plan_of(&self, id: RunId) -> &Plan {
        let number = self.number_of(id);
        self.plans()
            .iter()
            .find(|plan| plan.number == number)
            .unwrap()
    }

    /// Adds a line to the history.
    pub(crate) fn note(&self, what: impl AsRef<str>) {
        let at = self.elapsed().as_secs_f64();
        let mut state = self.state();
        if !state.is_crashed {
            state.history.push(format!("{at:>12.6} {}", what.as_ref()));
        }
    }

    /// Ends the simulation: something that must hold does not.
    pub(crate) fn fail(&self, why: impl Into<String>) {
        let why = why.into();
        self.note(format!("WRONG: {why}"));
        let mut state = self.state();
        state.failure.get_or_insert(why);
        state.is_crashed = true;
        self.0.crashed.notify_one();
    }

    /// Checks that something holds.
    pub(crate) fn expect(&self, checked: Result<(), String>) {
        if let Err(why) = checked {
            self.fail(why);
        }
    }

    /// Panics if something did not hold, with all that is needed to try it again.
    pub(crate) fn assert_fine(&self) {
        let state = self.state();
        let Some(why) = state.failure.clone() else {
            return;
        };
        let from = state.history.len().saturating_sub(SHOWN);
        let history = state.history[from..].join("\n");
        drop(state);
        let Shared {
            seed,
            crash,
            plans,
            faults,
            ..
        } = &*self.0;
        let plans: Vec<String> = plans.iter().map(|plan| format!("{plan:?}")).collect();
        panic!(
            "seed {seed}, {crash:?}, {faults:?}\n{}\n\nhistory from line {from}:\n{history}\n\n{why}\n\
             again: WEFT_TEST_SEED={seed} cargo test --workspace --test simulation",
            plans.join("\n"),
        );
    }
}
