//! Random operations against the service and against a plain model: there is no difference.
//!
//! The model shares no code with the service. `WEFT_TEST_CASES` says how many runs of up to 120
//! operations, `WEFT_TEST_SEED` which ones; a failure is shrunk to the fewest operations that show it.
//!
//! # Layout
//! - `value`, `filter`: documents and conditions on them
//! - `texts`: what queries find items by
//! - `operation`: what happens at random
//! - `memory`: the plain model
//! - `requests`: operations as the API takes them
//! - `run`: operations done by both, and compared

mod filter;
mod memory;
mod operation;
mod requests;
mod run;
mod texts;
mod value;

use std::env;

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use tokio::runtime::Runtime;

/// Takes about ten seconds.
const CASES: u32 = 50;

fn number(variable: &str, default: u64) -> u64 {
    let given = env::var(variable).ok();
    given.map_or(default, |text| text.parse().unwrap())
}

#[test]
fn random_operations_leave_no_difference_to_a_plain_model() {
    let config = Config {
        cases: number("WEFT_TEST_CASES", CASES.into()).try_into().unwrap(),
        max_shrink_iters: 1_000,
        failure_persistence: None,
        ..Config::default()
    };
    let seed = number("WEFT_TEST_SEED", 1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let runtime = Runtime::new().unwrap();
    let run = |operations| runtime.block_on(run::run(operations));
    let outcome = TestRunner::new_with_rng(config, random).run(&operation::operations(), run);
    match outcome {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Err(TestError::Fail(reason, operations)) => {
            panic!("WEFT_TEST_SEED={seed}: {reason}\nafter {operations:#?}")
        }
    }
}
