//! Random operations against the service and against a plain model: there is no difference.
//!
//! The model shares no code with the service. `WEFT_TEST_CASES` says how many runs of up to 122
//! operations, `WEFT_TEST_SEED` which ones; a failure is shrunk to the fewest operations that show it.
//! Those of a default run are looked at for whether they had everything that matters.
//!
//! # Layout
//! - `value`, `filter`: documents and conditions on them
//! - `texts`: what queries find items by
//! - `operation`: what happens at random
//! - `memory`: the plain model
//! - `requests`: operations as the API takes them
//! - `run`, `run_search`, `run_batch`: operations done by both, and compared
//! - `seen`, `kinds`: what happened in all runs, and what must have

mod filter;
mod kinds;
mod memory;
mod operation;
mod requests;
mod run;
mod run_batch;
mod run_search;
mod seen;
mod texts;
mod value;

use std::env;

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use tokio::runtime::Runtime;

/// Takes about ten seconds.
const CASES: u32 = 50;
const SEED: u64 = 1;

fn number(variable: &str, default: u64) -> u64 {
    let given = env::var(variable).ok();
    given.map_or(default, |text| text.parse().unwrap())
}

#[test]
fn random_operations_leave_no_difference_to_a_plain_model() {
    let cases = number("WEFT_TEST_CASES", CASES.into()).try_into().unwrap();
    let config = Config {
        cases,
        max_shrink_iters: 1_000,
        failure_persistence: None,
        ..Config::default()
    };
    let seed = number("WEFT_TEST_SEED", SEED);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let runtime = Runtime::new().unwrap();
    let seen = seen::Seen::default();
    let run = |operations| runtime.block_on(run::run(operations, &seen));
    let outcome = TestRunner::new_with_rng(config, random).run(&operation::operations(), run);
    match outcome {
        Ok(()) => {
            // Fewer runs, or others, need not have everything.
            let missing = seen.missing();
            let complete = missing.is_empty() || cases < CASES || seed != SEED;
            assert!(complete, "never happened: {missing:?}");
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Err(TestError::Fail(reason, operations)) => {
            panic!("WEFT_TEST_SEED={seed}: {reason}\nafter {operations:#?}")
        }
    }
}
