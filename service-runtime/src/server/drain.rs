//! From the wish to stop to the end of the last connection.

use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{FLUSH, ServerSettings};
use crate::Readiness;

/// The stages of a drain, each of which something waits for.
#[derive(Default)]
pub(super) struct Drain {
    /// No new connections and calls.
    pub(super) draining: CancellationToken,
    /// Calls that are left are ended with UNAVAILABLE.
    pub(super) aborted: CancellationToken,
    /// Connections that are left are cut.
    pub(super) severed: CancellationToken,
    /// Calls from their first to their last byte.
    pub(super) calls: TaskTracker,
}

impl Drain {
    /// Waits for `shutdown`, then goes through all stages. Returns when connections should be
    /// gone; usually they are before, and the server with them.
    pub(super) async fn run(
        &self,
        shutdown: impl Future<Output = ()>,
        readiness: &Readiness,
        settings: &ServerSettings,
    ) {
        shutdown.await;
        readiness.set_draining();
        tracing::info!(in_flight = self.calls.len(), "draining");
        sleep(settings.drain_delay).await;
        self.draining.cancel();
        self.calls.close();
        if timeout(settings.drain_timeout, self.calls.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                aborted = self.calls.len(),
                "calls did not end within the drain timeout, aborting them"
            );
        }
        self.aborted.cancel();
        let _ = timeout(FLUSH, self.calls.wait()).await;
        // hyper may wait for its peers forever (hyper#4170).
        sleep(FLUSH).await;
        self.severed.cancel();
        sleep(FLUSH).await;
    }

    /// Waits for calls whose connections are gone already.
    pub(super) async fn settle(&self) {
        self.severed.cancel();
        self.calls.close();
        if timeout(FLUSH, self.calls.wait()).await.is_err() {
            tracing::warn!(
                calls = self.calls.len(),
                "handlers block and are left behind"
            );
        }
    }
}
