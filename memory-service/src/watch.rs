//! Readiness follows the store: a service whose store is away does not want calls.

use std::{sync::Arc, time::Duration};

use service_runtime::Readiness;
use tokio::time::{MissedTickBehavior, interval};

use crate::memory::Memory;

/// Between two looks at the store. Load balancers look about as often.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the store again and again, until this future is dropped. The service is ready after
/// the first look that finds the store at work.
pub async fn watch_store(memory: Arc<Memory>, readiness: Readiness) {
    let mut ticks = interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        ticks.tick().await;
        match memory.probe().await {
            Ok(()) => {
                if away {
                    tracing::info!("the store is back");
                }
                away = false;
                readiness.set_ready();
            }
            Err(error) => {
                if !away {
                    tracing::warn!(%error, "the store is away");
                }
                away = true;
                readiness.set_not_ready("the store is away");
            }
        }
    }
}
