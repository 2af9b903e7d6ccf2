//! Limits of a provider, shared by all runs of the process and fair between threads.
//!
//! Requests that must wait do so in one queue for each thread, and the threads take turns: one that
//! asks a hundred things at once does not hold up another one that asks one.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::settings::ProviderSettings;
use crate::turns::Turns;

/// Requests that may wait for one provider. They hold their conversations in memory.
const MAX_WAITING: usize = 10_000;
/// Share of a minute's allowance that may be used at once.
const BURST: f64 = 1.0 / 6.0;
/// Second tries a minute that all runs together may make of one provider: after an outage they come
/// back ten a second, after a hundred at once, and not all at the same moment.
const RETRIES_PER_MINUTE: u32 = 600;
/// Longest that a second try is put off for the sake of others.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Too many requests wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_WAITING} requests wait for this provider already")]
pub struct TooManyWait;

/// Limits admits requests to one provider. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits(Arc<Mutex<State>>);

/// Permit lets one request be under way for as long as it lives.
#[derive(Debug)]
pub struct Permit(Limits);

/// Turn is a place in the queue; to drop it is to give it up.
#[derive(Debug)]
pub struct Turn {
    limits: Limits,
    granted: oneshot::Receiver<Permit>,
}

/// What keeps a request from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The provider asked for a pause until then.
    Pause(Instant),
    /// A rate is used up.
    Rate,
    /// As many are under way as may be.
    Concurrency(usize),
}

#[derive(Debug)]
struct State {
    max_concurrent: usize,
    under_way: usize,
    requests: Option<Allowance>,
    tokens: Option<Allowance>,
    retries: Option<Allowance>,
    /// The provider asked for a pause until then.
    paused_until: Option<Instant>,
    /// By thread.
    waiting: Turns<Arc<str>, oneshot::Sender<Permit>>,
}

/// What may be used in a time: it grows steadily up to a burst, and is negative after more was
/// used than there was.
#[derive(Debug)]
struct Allowance {
    per_second: f64,
    most: f64,
    left: f64,
    as_of: Instant,
}

impl Allowance {
    fn new(per_minute: u32) -> Option<Self> {
        let most = (f64::from(per_minute) * BURST).max(1.0);
        (per_minute > 0).then(|| Self {
            per_second: f64::from(per_minute) / 60.0,
            most,
            left: most,
            as_of: Instant::now(),
        })
    }

    fn refresh(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.as_of).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.most);
        self.as_of = now;
    }

    /// When there is at least `wanted` of it.
    fn when(&mut self, wanted: f64, now: Instant) -> Option<Instant> {
        self.refresh(now);
        let missing = wanted - self.left;
        (missing > 0.0).then(|| now + Duration::from_secs_f64(missing / self.per_second))
    }
}

impl Limits {
    /// The limits that these settings ask for.
    pub fn new(settings: &ProviderSettings) -> Self {
        Self(Arc::new(Mutex::new(State {
            max_concurrent: settings.max_concurrent,
            under_way: 0,
            requests: Allowance::new(settings.requests_per_minute),
            tokens: Allowance::new(settings.tokens_per_minute),
            retries: Allowance::new(RETRIES_PER_MINUTE),
            paused_until: None,
            waiting: Turns::default(),
        })))
    }

    /// Takes a place in the queue for a request that `thread` makes.
    ///
    /// # Errors
    /// [`TooManyWait`].
    pub fn enqueue(&self, thread: &Arc<str>) -> Result<Turn, TooManyWait> {
        let mut state = self.lock();
        if state.waiting.len() >= MAX_WAITING {
            return Err(TooManyWait);
        }
        let (sender, granted) = oneshot::channel();
        state.waiting.push(thread, sender);
        Ok(Turn {
            limits: self.clone(),
            granted,
        })
    }

    /// Lets nobody pass for a while: the provider wants fewer requests.
    pub fn pause(&self, until: Instant) {
        let mut state = self.lock();
        state.paused_until = state.paused_until.max(Some(until));
    }

    /// Takes a place among the second tries of all runs: how long to wait for it.
    pub fn delay_of_retry(&self, now: Instant) -> Duration {
        let mut state = self.lock();
        let Some(retries) = &mut state.retries else {
            return Duration::ZERO;
        };
        let place = retries.when(1.0, now);
        retries.left = (retries.left - 1.0).max(-LONGEST_DELAY.as_secs_f64() * retries.per_second);
        let delay = place.map(|place| place.saturating_duration_since(now));
        delay.unwrap_or_default().min(LONGEST_DELAY)
    }

    /// Counts tokens that a request used. Later requests wait until they are earned back.
    pub fn use_tokens(&self, count: u64, now: Instant) {
        if let Some(tokens) = &mut self.lock().tokens {
            tokens.refresh(now);
            tokens.left -= count as f64;
        }
    }

    /// Lets pass whoever may; `Some` is when it is worth to look again, if time alone decides.
    fn grant(&self) -> Option<Instant> {
        loop {
            let (sender, permit) = {
                let mut state = self.lock();
                if state.waiting.is_empty() || state.under_way >= state.max_concurrent {
                    return None;
                }
                if let Some(until) = state.not_before(Instant::now()) {
                    return Some(until);
                }
                let Some(sender) = state.waiting.pop() else {
                    continue;
                };
                // One that went away takes nothing.
                if sender.is_closed() {
                    continue;
                }
                state.under_way += 1;
                if let Some(requests) = &mut state.requests {
                    requests.left -= 1.0;
                }
                (sender, Permit(self.clone()))
            };
            // Without the lock: a permit that cannot be delivered comes back by being dropped.
            let _ = sender.send(permit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits for it. One that was waited for in vain can be waited for again.
    ///
    /// # Errors
    /// [`TooManyWait`] if the queue is gone.
    pub async fn permit(&mut self) -> Result<Permit, TooManyWait> {
        loop {
            let wake = self.limits.grant();
            let until = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                biased;
                // The queue outlives its waiters: an error does not happen.
                granted = &mut self.granted => return granted.map_err(|_| TooManyWait),
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// What it waits for.
    pub fn obstacle(&self) -> Obstacle {
        let state = self.limits.lock();
        let paused = state.paused_until.filter(|until| *until > Instant::now());
        match paused {
            Some(until) => Obstacle::Pause(until),
            None if state.under_way >= state.max_concurrent => {
                Obstacle::Concurrency(state.max_concurrent)
            }
            None => Obstacle::Rate,
        }
    }
}

impl State {
    fn not_before(&mut self, now: Instant) -> Option<Instant> {
        let paused = self.paused_until.filter(|until| *until > now);
        let requests = self.requests.as_mut().and_then(|each| each.when(1.0, now));
        let tokens = self.tokens.as_mut().and_then(|each| each.when(0.0, now));
        paused.max(requests).max(tokens)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
        self.0.grant();
    }
}

#[cfg(test)]
mod tests;
