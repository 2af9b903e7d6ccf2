//! Values that are not the same every time, made so that every replay has the same ones.

use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Context;
use crate::{Call, CallId, CallKind, Failure, call::hash_input, json, pending::PendingSide};

impl Context {
    /// Waits for a time that goes on while the run has no worker and while the service is down.
    /// Nothing is held meanwhile, unless it is a few seconds. Fails with `CANCELLED` if the run is
    /// cancelled.
    pub fn sleep(
        &self,
        duration: Duration,
    ) -> impl Future<Output = Result<(), Failure>> + Send + 'static {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        // Both places are taken now: when the time has come is not the same in every replay.
        let (timer, wake) = (self.scope.next_call(), self.scope.next_call());
        let context = self.clone();
        async move {
            let clock = &context.execution.clock;
            let due = || clock.now_micros().saturating_add(micros);
            let due: i64 = context.side(timer.clone(), "sleep", due).await?;
            // What has ended has ended, also by a clock that is behind the one it ended by.
            let has_ended = context.execution.replay().is_recorded(&wake);
            if !has_ended && !clock.until(due).is_zero() {
                let _waiting = context.scope.wait();
                let _timer = context.execution.set_timer(timer, due);
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(clock.until(due)) => {}
                    () = context.execution.cancelled.cancelled() => {}
                }
            }
            // Recorded too, so that a race against a timer has the same winner in every replay.
            context.side(wake, "wake", || ()).await
        }
    }

    /// The current time, as it was when this was first asked for. Fails with `CANCELLED` if the run
    /// is cancelled.
    pub fn now(&self) -> impl Future<Output = Result<SystemTime, Failure>> + Send + 'static {
        let (context, call) = (self.clone(), self.scope.next_call());
        async move {
            let clock = &context.execution.clock;
            let micros: i64 = context.side(call, "now", || clock.now_micros()).await?;
            Ok(UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
        }
    }

    /// A UUID that is the same in every replay, and no other call's. Derived from the run's id:
    /// nothing is recorded.
    pub fn uuid(&self) -> Uuid {
        Uuid::new_v5(
            &self.run_id(),
            format!("uuid/{}", self.scope.next_value()).as_bytes(),
        )
    }

    /// A number from 0 up to but not including 1 that is the same in every replay. Derived from the
    /// run's id: nothing is recorded.
    pub fn random(&self) -> f64 {
        let name = format!("random/{}/{}", self.run_id(), self.scope.next_value());
        let mut bits = [0; 8];
        for (to, from) in bits.iter_mut().zip(Sha256::digest(name)) {
            *to = from;
        }
        // The 53 bits that a double holds exactly.
        let mantissa = u64::from_le_bytes(bits) >> 11;
        mantissa as f64 / (1_u64 << 53) as f64
    }

    /// A value that is recorded as it was first made.
    async fn side<T>(
        &self,
        id: CallId,
        name: &'static str,
        value: impl FnOnce() -> T,
    ) -> Result<T, Failure>
    where
        T: Serialize + DeserializeOwned,
    {
        self.execution.may_call(name)?;
        let input_hash = hash_input(&json::null());
        let call = Call {
            id,
            kind: CallKind::Side,
            task: name.into(),
            input_hash,
        };
        let made = self.execution.make(&call);
        let side = PendingSide {
            execution: &self.execution,
            scope: &self.scope,
            call,
        };
        let outcome = side
            .outcome(made, || json::encode("the value", &value()))
            .await?;
        json::decode("the recorded value", &outcome)
    }
}
