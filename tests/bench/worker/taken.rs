//! What a system took, and what is nearest to its limit.

use std::{
    ops::{AddAssign, Sub},
    thread::available_parallelism,
};

use crate::system::Host;

/// What a system took within some time. Cores are shared by all processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    /// Seconds that the service computed.
    pub(crate) service: f64,
    /// Seconds that the worker process computed.
    pub(crate) worker: f64,
    /// Seconds that the callers computed.
    pub(crate) callers: f64,
    /// Commits of the store.
    pub(crate) commits: f64,
    /// Seconds that they took, one after the other: mostly those of the disk.
    pub(crate) committing: f64,
    /// Writes that were committed.
    pub(crate) writes: f64,
}

impl Taken {
    pub(crate) const HEAD: &str = "cores: service worker callers   commits/s  writes/commit  ms/commit   nearest to its limit";

    /// How much of each was in use.
    pub(crate) fn shares(&self, host: Host) -> String {
        let cores = [self.service, self.worker, self.callers].map(|of| of / self.seconds);
        let machine = available_parallelism().map_or(1.0, |count| count.get() as f64);
        let mut limits = vec![
            ("the disk's commits", self.committing / self.seconds),
            ("the machine's cores", cores.iter().sum::<f64>() / machine),
        ];
        if host == Host::Python {
            limits.push(("the worker's core", cores[1]));
        }
        let nearest = limits
            .iter()
            .max_by(|(_, one), (_, other)| one.total_cmp(other));
        let nearest = nearest.map_or_else(String::new, |(what, share)| {
            format!("{what}: {:.0} %", share * 100.0)
        });
        format!(
            "{:>14.2} {:>6.2} {:>7.2}   {:>9.0}  {:>13.1}  {:>9.2}   {nearest}",
            cores[0],
            cores[1],
            cores[2],
            self.commits / self.seconds,
            self.writes / self.commits,
            self.committing / self.commits * 1e3,
        )
    }
}

impl AddAssign for Taken {
    fn add_assign(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.service += other.service;
        self.worker += other.worker;
        self.callers += other.callers;
        self.commits += other.commits;
        self.committing += other.committing;
        self.writes += other.writes;
    }
}

impl Sub for Taken {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            seconds: self.seconds - before.seconds,
            service: self.service - before.service,
            worker: self.worker - before.worker,
            callers: self.callers - before.callers,
            commits: self.commits - before.commits,
            committing: self.committing - before.committing,
            writes: self.writes - before.writes,
        }
    }
}
