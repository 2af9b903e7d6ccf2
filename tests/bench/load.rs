//! Callers that start runs, and what they see.

use std::{
    env,
    ops::AddAssign,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

/// Seconds of one measurement: `WEFT_BENCH_SECONDS`, or 2.
pub(crate) fn seconds() -> Result<f64> {
    let Ok(text) = env::var("WEFT_BENCH_SECONDS") else {
        return Ok(2.0);
    };
    text.parse()
        .with_context(|| format!("`WEFT_BENCH_SECONDS` is no number: {text}"))
}

/// What callers are to do; a line of input of a program of `make bench-peers`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Tasks of each run.
    pub tasks: u32,
    /// Callers, each of which starts a run when its last one has ended.
    pub callers: u32,
    /// No run starts after so many seconds.
    pub seconds: f64,
}

/// What callers saw; a line of output of such a program.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Until the last run had ended.
    seconds: f64,
    /// Seconds that each run took, from its call to its answer.
    latencies: Vec<f64>,
}

/// Sums up a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub runs_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Load {
    /// Plays the callers.
    pub(crate) async fn play(&self, run: impl AsyncFn() -> Result<()>) -> Result<Sample> {
        let time = Duration::from_secs_f64(self.seconds);
        let begin = Instant::now();
        let caller = async || {
            let mut latencies = Vec::new();
            while begin.elapsed() < time {
                let called = Instant::now();
                run().await?;
                latencies.push(called.elapsed().as_secs_f64());
            }
            anyhow::Ok(latencies)
        };
        let all = try_join_all((0..self.callers).map(|_| caller())).await?;
        Ok(Sample {
            seconds: begin.elapsed().as_secs_f64(),
            latencies: all.concat(),
        })
    }
}

impl AddAssign for Sample {
    fn add_assign(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.latencies.extend(other.latencies);
    }
}

impl Sample {
    pub(crate) fn figures(mut self) -> Figures {
        self.latencies.sort_unstable_by(f64::total_cmp);
        let at = |share: usize| {
            let last = self.latencies.len().saturating_sub(1);
            self.latencies.get(last * share / 100).unwrap_or(&f64::NAN) * 1e3
        };
        Figures {
            runs_per_second: self.latencies.len() as f64 / self.seconds,
            p50_ms: at(50),
            p99_ms: at(99),
        }
    }
}
