//! Every wait has a bound.

use std::{future::Future, time::Duration};

use anyhow::{Context as _, Result};

/// Longest wait for anything that should happen at once. Generous: tests share two loaded cores
/// with a compiler; only a failing test ever waits this long.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The output of `future`, if it comes within [`PATIENCE`].
///
/// # Errors
/// If it does not; the sentence says what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .with_context(|| format!("waited {PATIENCE:?} in vain for {what}"))
}
