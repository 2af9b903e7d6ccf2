//! Whether a service wants calls.

use std::{borrow::Cow, fmt::Display, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

/// Between two looks at a store. Load balancers look about as often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Whether a service can do its work; health v1 and `/readyz` follow it.
///
/// Starts as not ready. After a drain began it stays not ready, whatever is said.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<State>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    NotReady(Cow<'static, str>),
    Draining,
}

impl State {
    /// Why there should be no calls, if there should be none.
    pub(crate) fn obstacle(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::NotReady(reason) => Some(reason),
            Self::Draining => Some("shutting down"),
        }
    }
}

impl Readiness {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::NotReady(
            "starting".into(),
        ))))
    }

    /// From now on calls are wanted.
    pub fn set_ready(&self) {
        self.set(State::Ready);
    }

    /// From now on calls should go elsewhere; those that come are served as well as can be.
    pub fn set_not_ready(&self, reason: impl Into<Cow<'static, str>>) {
        self.set(State::NotReady(reason.into()));
    }

    /// Looks at a store again and again, until this future is dropped. The service is ready after
    /// the first look that finds the store at work, and not ready while one does not.
    pub async fn follow_store<E, F>(self, look: impl Fn() -> F)
    where
        E: Display,
        F: Future<Output = Result<(), E>>,
    {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_away = false;
        loop {
            ticks.tick().await;
            match look().await {
                Ok(()) => {
                    if is_away {
                        tracing::info!("the store is back");
                    }
                    is_away = false;
                    self.set_ready();
                }
                Err(error) => {
                    if !is_away {
                        tracing::warn!(%error, "the store is away");
                    }
                    is_away = true;
                    self.set_not_ready(error.to_string());
                }
            }
        }
    }

    pub(crate) fn set_draining(&self) {
        self.set(State::Draining);
    }

    pub(crate) fn state(&self) -> State {
        self.0.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    fn set(&self, next: State) {
        self.0.send_if_modified(|state| {
            let changes = *state != State::Draining && *state != next;
            if changes {
                *state = next;
            }
            changes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_final() {
        let readiness = Readiness::new();
        assert_eq!(readiness.state().obstacle(), Some("starting"));
        readiness.set_ready();
        assert_eq!(readiness.state().obstacle(), None);
        readiness.set_not_ready("store away");
        assert_eq!(readiness.state().obstacle(), Some("store away"));
        readiness.set_draining();
        readiness.set_ready();
        assert_eq!(readiness.state().obstacle(), Some("shutting down"));
    }
}
