//! The sweeper: removes what has expired. It is invisible from the moment on at which it expires,
//! so sweeping only frees its space.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::memory::Memory;

/// Between two sweeps. One costs a single indexed look-up if nothing has expired.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Sweeps again and again, until this future is dropped.
pub async fn sweep_regularly(memory: Arc<Memory>) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match memory.sweep().await {
            Ok(0) => {}
            Ok(items) => tracing::debug!(items, "swept expired items"),
            Err(error) => tracing::warn!(%error, "sweep failed; the next one will try again"),
        }
    }
}
