//! Whether a service wants calls.

use std::{borrow::Cow, sync::Arc};

use tokio::sync::watch;

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
