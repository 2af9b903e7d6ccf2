//! The entrypoint that executes programs.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use weft_worker::{Context, Entrypoint, Final, RetryPolicy};

use crate::{Outside, Program};

/// Name of the entrypoint.
pub const ENTRYPOINT: &str = "program";
/// Name of the entrypoint whose outputs are cached.
pub const CACHED_ENTRYPOINT: &str = "cached-program";

/// More tries of the entrypoint than programs have flaky places.
const RETRY: RetryPolicy =
    RetryPolicy::exponential(1000, Duration::from_millis(1), Duration::from_millis(10));

/// Argument of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Argument {
    /// Names the run on its thread.
    pub number: u32,
    /// What it does.
    pub program: Program,
}

/// Output of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What its program came to.
    pub result: u64,
    /// Numbers of the runs that succeeded on the thread before it.
    pub before: Vec<u32>,
}

/// The entrypoint that executes an [`Argument`], and saves the numbers of the runs that succeeded on
/// its thread; and its twin [`CACHED_ENTRYPOINT`], which leaves what is saved as it was, and whose
/// outputs are cached for `ttl`.
pub fn entrypoints(outside: Arc<dyn Outside>, ttl: Duration) -> [Entrypoint; 2] {
    let cached = entrypoint(CACHED_ENTRYPOINT, &outside, false).cache(ttl);
    [entrypoint(ENTRYPOINT, &outside, true), cached]
}

fn entrypoint(name: &str, outside: &Arc<dyn Outside>, is_remembered: bool) -> Entrypoint {
    let outside = Arc::clone(outside);
    Entrypoint::new(name, "1", move |context: Context, run: Argument| {
        let outside = Arc::clone(&outside);
        async move {
            let before: Vec<u32> = context.previous()?.unwrap_or_default();
            let result = run.program.execute(&context, &outside).await?;
            let mut saved = before.clone();
            saved.extend(is_remembered.then_some(run.number));
            Ok(Final {
                value: Output { result, before },
                saved,
            })
        }
    })
    .retry(RETRY)
}
