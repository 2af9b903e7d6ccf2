//! The entrypoint that executes programs.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use weft_worker::{Context, Entrypoint, Final, RetryPolicy};

use crate::{Outside, Program};

/// Name of the entrypoint.
pub const ENTRYPOINT: &str = "program";

/// Tries of the entrypoint: more than programs have flaky places.
const TRIES: u32 = 1000;

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

/// The entrypoint that executes an [`Argument`]. It saves the numbers of the runs that succeeded on
/// its thread.
pub fn entrypoint(outside: Arc<dyn Outside>) -> Entrypoint {
    Entrypoint::new(ENTRYPOINT, "1", move |context: Context, run: Argument| {
        let outside = Arc::clone(&outside);
        async move {
            let before: Vec<u32> = context.previous()?.unwrap_or_default();
            let result = run.program.execute(&context, &outside).await?;
            let mut saved = before.clone();
            saved.push(run.number);
            Ok(Final {
                value: Output { result, before },
                saved,
            })
        }
    })
    .retry(RetryPolicy::exponential(
        TRIES,
        Duration::from_millis(1),
        Duration::from_millis(10),
    ))
}
