//! Random programs, on an engine that is dropped at random moments and started again on the same
//! folder: they all finish, with the output they would have had without that.
//!
//! `WEFT_TEST_SEED=n` runs one seed, which a failure names; `WEFT_TEST_SEEDS=n` runs that many.

use std::{
    collections::{BTreeMap, HashSet},
    env,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, join_all, select_all},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};
use weft_worker::{CallId, Context, Entrypoint, Failure, Task, TaskContext, Worker, json};
use workflow_service::{
    domain::{RunId, RunState, ThreadId},
    engine::Engine,
    store::{Answers, StoreError},
};

use crate::harness::{engine_in, request, tenant};

/// Seeds that a usual run tries: a few seconds' worth.
const SEEDS: u64 = 40;
/// Runs of one seed.
const RUNS: u32 = 8;
/// Longest life of an engine before it is dropped.
const LONGEST_LIFE: Duration = Duration::from_millis(30);
/// Lives after which an engine is left alone to finish.
const LIVES: u32 = 12;

/// A program, as it is given to the entrypoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Program {
    /// A task that fails this often with a retryable failure, then returns a number.
    Task { number: u64, failures: u32 },
    /// A task that fails for good, caught by the caller.
    Caught { number: u64 },
    /// A task that executes a program of its own.
    Nested(Box<Program>),
    /// One after the other.
    Sequence(Vec<Program>),
    /// All at once, each in a task of its own.
    Join(Vec<Program>),
    /// All at once, in the same code.
    Branches(Vec<Program>),
    /// The first of several tasks; what comes first is handed to another task.
    Race { numbers: Vec<u64> },
    /// A question, answered with a number that follows from it.
    Ask { number: u64 },
    /// A short sleep.
    Sleep { millis: u64 },
    /// A derived value, and a recorded time.
    Values,
}

impl Program {
    fn random(random: &mut StdRng, depth: u32) -> Self {
        let number = random.random_range(0..1000);
        let several = |random: &mut StdRng| {
            let count = random.random_range(1..=4);
            (0..count)
                .map(|_| Self::random(random, depth - 1))
                .collect()
        };
        match random.random_range(0..if depth == 0 { 6 } else { 10 }) {
            0 => Self::Task {
                number,
                failures: random.random_range(0..3),
            },
            1 => Self::Caught { number },
            2 => Self::Race {
                numbers: (number..number + random.random_range(2..4)).collect(),
            },
            3 => Self::Ask { number },
            4 => Self::Sleep {
                millis: random.random_range(0..5),
            },
            5 => Self::Values,
            6 => Self::Nested(Box::new(Self::random(random, depth - 1))),
            7 => Self::Sequence(several(random)),
            8 => Self::Branches(several(random)),
            _ => Self::Join(several(random)),
        }
    }

    /// What the program comes to, whatever happens to the engine.
    fn expected(&self) -> u64 {
        match self {
            Self::Task { number, .. } | Self::Caught { number } => *number,
            Self::Nested(inner) => inner.expected() + 1,
            Self::Sequence(parts) | Self::Join(parts) | Self::Branches(parts) => {
                parts.iter().map(Self::expected).sum()
            }
            // Which one it is may differ from run to run; that it is one of them may not.
            Self::Race { .. } => 7,
            Self::Ask { number } => answer(*number),
            Self::Sleep { .. } | Self::Values => 0,
        }
    }

    fn execute<'a>(
        &'a self,
        context: &'a Context,
        log: &'a Log,
    ) -> BoxFuture<'a, Result<u64, Failure>> {
        async move {
            match self {
                Self::Task { number, failures } => log.call(context, *number, *failures).await,
                Self::Caught { number } => {
                    let task = Task::new("caught", |_: TaskContext, number: u64| async move {
                        Err::<(), _>(Failure::new("NO", number.to_string()))
                    });
                    match context.call(&task, *number).await {
                        Ok(()) => Ok(u64::MAX),
                        Err(failure) => Ok(failure.message.parse().unwrap_or(u64::MAX)),
                    }
                }
                Self::Nested(inner) => {
                    let log = log.clone();
                    let task = Task::new("nested", move |task: TaskContext, inner: Program| {
                        let log = log.clone();
                        async move { Ok(inner.execute(&task, &log).await? + 1) }
                    });
                    context.call(&task, Program::clone(inner)).await
                }
                Self::Sequence(parts) => {
                    let mut sum = 0;
                    for part in parts {
                        sum += part.execute(context, log).await?;
                    }
                    Ok(sum)
                }
                Self::Join(parts) => {
                    let branches = parts.iter().map(|part| {
                        let log = log.clone();
                        let branch =
                            Task::new("branch", move |task: TaskContext, part: Program| {
                                let log = log.clone();
                                async move { part.execute(&task, &log).await }
                            });
                        context.call(&branch, part.clone())
                    });
                    join_all(branches).await.into_iter().sum()
                }
                Self::Branches(parts) => {
                    let branches = parts.iter().map(|part| part.execute(context, log));
                    join_all(branches).await.into_iter().sum()
                }
                Self::Race { numbers } => {
                    let racers = numbers.iter().map(|number| {
                        let racer = Task::new("racer", |_: TaskContext, number: u64| async move {
                            tokio::time::sleep(Duration::from_micros(number % 7 * 200)).await;
                            Ok(number)
                        });
                        context.call(&racer, *number)
                    });
                    let winner = select_all(racers).await.0?;
                    let after =
                        Task::new(
                            "after",
                            |_: TaskContext, winner: u64| async move { Ok(winner) },
                        );
                    let same = context.call(&after, winner).await?;
                    Ok(if same == winner { 7 } else { u64::MAX })
                }
                Self::Ask { number } => context.interrupt(number).await,
                Self::Sleep { millis } => context
                    .sleep(Duration::from_millis(*millis))
                    .await
                    .map(|()| 0),
                Self::Values => {
                    let before = context.now().await?;
                    let id = context.uuid();
                    let task =
                        Task::new(
                            "values",
                            |_: TaskContext, seen: String| async move { Ok(seen) },
                        );
                    let seen = format!("{before:?} {id}");
                    let recorded = context.call(&task, seen.clone()).await?;
                    Ok(if recorded == seen { 0 } else { u64::MAX })
                }
            }
        }
        .boxed()
    }
}

fn answer(question: u64) -> u64 {
    question * 3 + 1
}

/// What happened to task calls, across all lives of the engine.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// Calls whose result code has seen, so that it was recorded.
    recorded: HashSet<String>,
    /// Calls that ran after that.
    run_again: Vec<String>,
}

impl Log {
    async fn call(&self, context: &Context, number: u64, failures: u32) -> Result<u64, Failure> {
        let log = self.clone();
        let task = Task::new("task", move |task: TaskContext, number: u64| {
            let key = task.idempotency_key();
            {
                let mut seen = log.0.lock().unwrap();
                if seen.recorded.contains(&key) {
                    seen.run_again.push(key.clone());
                }
            }
            async move {
                tokio::time::sleep(Duration::from_micros(number % 5 * 300)).await;
                match task.attempt() <= failures {
                    true => Err(Failure::transient("AWAY", "away")),
                    false => Ok((number, key)),
                }
            }
        })
        .retry(weft_worker::RetryPolicy::exponential(
            5,
            Duration::from_micros(100),
            Duration::from_millis(1),
        ));
        let (number, key) = context.call(&task, number).await?;
        self.0.lock().unwrap().recorded.insert(key);
        Ok(number)
    }
}

fn worker(log: &Log) -> Worker {
    let log = log.clone();
    Worker::new().entrypoint(Entrypoint::new(
        "e",
        "1",
        move |context: Context, program: Program| {
            let log = log.clone();
            async move { program.execute(&context, &log).await }
        },
    ))
}

/// Answers open questions and waits, until all runs have finished.
async fn attend(engine: &Engine, runs: &[(RunId, Program)]) {
    for (id, program) in runs {
        loop {
            let patience = Duration::from_secs(60);
            let run = engine
                .wait(&tenant(), *id, patience)
                .await
                .unwrap()
                .unwrap();
            assert!(run.state.is_resting(), "{program:?} is stuck: {run:?}");
            if run.state != RunState::Interrupted {
                break;
            }
            let answers: BTreeMap<CallId, _> = run
                .interrupts
                .iter()
                .map(|interrupt| {
                    let question: u64 = interrupt.value.get().parse().unwrap();
                    let text = answer(question).to_string();
                    (interrupt.id.clone(), json::from_text(text).unwrap())
                })
                .collect();
            let answered = engine
                .answer_run(&tenant(), *id, Answers::ById(answers))
                .await;
            // A timer beside the questions may have been due: they are asked again.
            if !matches!(answered, Err(StoreError::WrongState { .. })) {
                answered.unwrap();
            }
        }
    }
}

async fn try_seed(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    let mut engine = engine_in(folder.path(), worker(&log), 4).await;
    let mut runs = Vec::new();
    for number in 0..RUNS {
        let program = Program::random(&mut random, 3);
        // Some share a thread, and wait for each other.
        let mut request = request("e", "t", 0);
        request.run.thread_id = ThreadId::parse(&format!("t{}", number % 5)).unwrap();
        request.run.input = json::encode("the program", &program).unwrap();
        runs.push((
            engine.start_run(&tenant(), request).await.unwrap().id,
            program,
        ));
    }
    for _ in 0..LIVES {
        let life = LONGEST_LIFE.mul_f64(random.random());
        if tokio::time::timeout(life, attend(&engine, &runs))
            .await
            .is_ok()
        {
            break;
        }
        engine.stop().await;
        drop(engine);
        engine = engine_in(folder.path(), worker(&log), 4).await;
    }
    attend(&engine, &runs).await;
    for (id, program) in &runs {
        let run = engine.run(&tenant(), *id).await.unwrap().unwrap();
        let output = run.output.as_ref().map(|output| output.get().to_owned());
        let expected = Some(program.expected().to_string());
        assert_eq!(output, expected, "seed {seed}: {program:?} came to {run:?}");
    }
    let run_again = log.0.lock().unwrap().run_again.clone();
    assert!(
        run_again.is_empty(),
        "seed {seed}: ran again after they were recorded: {run_again:?}"
    );
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_programs_finish_as_if_the_engine_had_never_been_dropped() {
    let number = |name: &str| {
        env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seeds = match number("WEFT_TEST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WEFT_TEST_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        try_seed(seed).await;
    }
}
