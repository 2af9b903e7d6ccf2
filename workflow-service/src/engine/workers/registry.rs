//! Who is connected, what they host, and how much room they have.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Arc, OnceLock},
};

use tokio::sync::mpsc;
use weft_worker::{
    EntrypointDescription,
    protocol::{ExecutionId, ToWorker, WorkerMessage},
};

use super::version::Version;
use crate::store::EntrypointVersion;

/// Entrypoints that are known although nobody hosts them now. Beyond that, the oldest by name are
/// forgotten: their runs wait all the same.
const MAX_UNHOSTED: usize = 10_000;

/// WorkerId names a connected worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct WorkerId(pub(super) u64);

/// What is said about one execution goes there.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) sender: mpsc::Sender<WorkerMessage>,
    /// Why the sender was dropped before the execution ended.
    pub(super) lost: Arc<OnceLock<String>>,
}

/// Registry is plain data behind one lock; nothing in it waits.
#[derive(Debug, Default)]
pub(super) struct Registry {
    workers: BTreeMap<WorkerId, Connected>,
    /// By name, then version.
    entrypoints: BTreeMap<Arc<str>, BTreeMap<Version, Hosts>>,
    last_worker: u64,
}

#[derive(Debug)]
struct Connected {
    name: Arc<str>,
    outbox: mpsc::Sender<ToWorker>,
    max_runs: u32,
    /// Its connection is lost, and it may come back.
    is_away: bool,
    executions: BTreeMap<ExecutionId, Route>,
    /// All that it can execute: versions it hosts, and those it accepts.
    able: Vec<(Arc<str>, Version)>,
}

impl Connected {
    fn free(&self) -> u64 {
        if self.is_away {
            return 0;
        }
        let busy = u32::try_from(self.executions.len()).unwrap_or(u32::MAX);
        self.max_runs.saturating_sub(busy).into()
    }
}

/// Who can execute a version of an entrypoint.
#[derive(Debug, Default)]
struct Hosts {
    /// As the worker described it that connected last; `None` if it was only ever accepted.
    description: Option<EntrypointDescription>,
    /// Those who host it, or accept it.
    able: BTreeSet<WorkerId>,
    /// Those of them with room.
    ready: BTreeSet<WorkerId>,
    /// Room of all of them.
    free: u64,
    /// Who was given a run last: the next one is the next one's.
    last: Option<WorkerId>,
}

/// What can be claimed at present.
#[derive(Debug)]
pub(in super::super) struct Claimable {
    /// Versions that some worker has room for.
    pub(in super::super) hosted: Vec<EntrypointVersion>,
    /// How many runs of any of them there is room for, whichever they are.
    pub(in super::super) room: u64,
    /// Whether there are versions whose workers have no room at present.
    pub(in super::super) is_some_busy: bool,
}

/// An entrypoint, and how many workers host it.
#[derive(Clone, Debug)]
pub struct HostedEntrypoint {
    /// What its workers say of it.
    pub description: EntrypointDescription,
    /// Workers that can execute it and are connected now.
    pub workers: usize,
}

impl Registry {
    pub(super) fn add(
        &mut self,
        name: Arc<str>,
        descriptions: Vec<EntrypointDescription>,
        max_runs: u32,
        outbox: mpsc::Sender<ToWorker>,
    ) -> WorkerId {
        self.last_worker += 1;
        let worker = WorkerId(self.last_worker);
        let mut able = BTreeSet::new();
        for description in descriptions {
            let versions = self
                .entrypoints
                .entry(Arc::clone(&description.name))
                .or_default();
            for version in [&description.version]
                .into_iter()
                .chain(&description.accepts)
            {
                let version = Version(Arc::clone(version));
                versions
                    .entry(version.clone())
                    .or_default()
                    .able
                    .insert(worker);
                able.insert((Arc::clone(&description.name), version));
            }
            let own = versions.entry(Version(Arc::clone(&description.version)));
            own.or_default().description = Some(description);
        }
        let connected = Connected {
            name,
            outbox,
            max_runs: 0,
            is_away: false,
            executions: BTreeMap::new(),
            able: able.into_iter().collect(),
        };
        self.workers.insert(worker, connected);
        self.change(worker, |connected| connected.max_runs = max_runs);
        worker
    }

    /// Knows an entrypoint that nobody hosts yet.
    pub(super) fn recall(&mut self, description: EntrypointDescription) {
        let versions = self.entrypoints.entry(Arc::clone(&description.name));
        let version = Version(Arc::clone(&description.version));
        let hosts = versions.or_default().entry(version).or_default();
        hosts.description.get_or_insert(description);
    }

    /// Forgets a worker, and tells its executions why.
    pub(super) fn remove(&mut self, worker: WorkerId, why: &str) {
        self.change(worker, |connected| {
            connected.max_runs = 0;
            for route in std::mem::take(&mut connected.executions).into_values() {
                let _ = route.lost.set(why.to_owned());
            }
        });
        let Some(gone) = self.workers.remove(&worker) else {
            return;
        };
        for (name, version) in gone.able {
            if let Some(hosts) = hosts_of(&mut self.entrypoints, &name, &version) {
                hosts.able.remove(&worker);
            }
        }
        self.forget_unhosted();
    }

    fn forget_unhosted(&mut self) {
        let unhosted = |versions: &BTreeMap<Version, Hosts>| {
            versions.values().all(|hosts| hosts.able.is_empty())
        };
        let count = self
            .entrypoints
            .values()
            .filter(|versions| unhosted(versions))
            .count();
        if count > MAX_UNHOSTED {
            self.entrypoints.retain(|_, versions| !unhosted(versions));
        }
    }

    pub(super) fn set_max_runs(&mut self, worker: WorkerId, max_runs: u32) {
        self.change(worker, |connected| connected.max_runs = max_runs);
    }

    pub(super) fn set_away(&mut self, worker: WorkerId, is_away: bool) {
        self.change(worker, |connected| connected.is_away = is_away);
    }

    /// Gives an execution to the next worker that can execute the entrypoint and has room.
    pub(super) fn open(
        &mut self,
        (entrypoint, version): (&str, &Version),
        execution: ExecutionId,
        route: Route,
    ) -> Option<(WorkerId, mpsc::Sender<ToWorker>)> {
        let hosts = hosts_of(&mut self.entrypoints, entrypoint, version)?;
        let after = hosts.last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut later = hosts.ready.range((after, Bound::Unbounded));
        let worker = *later.next().or_else(|| hosts.ready.first())?;
        hosts.last = Some(worker);
        self.change(worker, |connected| {
            connected.executions.insert(execution, route);
        });
        let outbox = self.workers.get(&worker)?.outbox.clone();
        Some((worker, outbox))
    }

    /// Ends an execution, and says why if it ends before its time.
    pub(super) fn close(&mut self, worker: WorkerId, execution: ExecutionId, why: Option<&str>) {
        self.change(worker, |connected| {
            if let (Some(route), Some(why)) = (connected.executions.remove(&execution), why) {
                let _ = route.lost.set(why.to_owned());
            }
        });
    }

    /// Where to send what a worker says about one of its own executions.
    pub(super) fn route(
        &self,
        worker: WorkerId,
        execution: ExecutionId,
    ) -> Option<mpsc::Sender<WorkerMessage>> {
        let route = self.workers.get(&worker)?.executions.get(&execution)?;
        Some(route.sender.clone())
    }

    pub(super) fn name(&self, worker: WorkerId) -> Option<Arc<str>> {
        self.workers
            .get(&worker)
            .map(|connected| Arc::clone(&connected.name))
    }

    /// An entrypoint that runs can be started of: the version asked for, else the last one that is
    /// hosted now, else the last one that was.
    pub(super) fn find(&self, name: &str, version: Option<&str>) -> Option<EntrypointDescription> {
        let versions = self.entrypoints.get(name)?;
        match version {
            Some(version) => versions.get(&Version(version.into()))?.description.clone(),
            None => default_of(versions).and_then(|hosts| hosts.description.clone()),
        }
    }

    /// The default version of each entrypoint, by name.
    pub(super) fn list(&self) -> Vec<HostedEntrypoint> {
        let is_here = |worker: &&WorkerId| self.is_here(**worker);
        let defaults = self.entrypoints.values().filter_map(default_of);
        defaults
            .filter_map(|hosts| {
                Some(HostedEntrypoint {
                    description: hosts.description.clone()?,
                    workers: hosts.able.iter().filter(is_here).count(),
                })
            })
            .collect()
    }

    /// How many runs of a version the workers have room for.
    pub(super) fn room(&self, entrypoint: &str, version: &str) -> u64 {
        self.hosts(entrypoint, version)
            .map_or(0, |hosts| hosts.free)
    }

    /// Whether a worker that can execute a version is connected.
    pub(super) fn is_hosted(&self, entrypoint: &str, version: &str) -> bool {
        let hosts = self.hosts(entrypoint, version);
        hosts.is_some_and(|hosts| hosts.able.iter().any(|worker| self.is_here(*worker)))
    }

    fn hosts(&self, entrypoint: &str, version: &str) -> Option<&Hosts> {
        let versions = self.entrypoints.get(entrypoint)?;
        versions.get(&Version(version.into()))
    }

    fn is_here(&self, worker: WorkerId) -> bool {
        let connected = self.workers.get(&worker);
        connected.is_some_and(|connected| !connected.is_away)
    }

    /// What can be claimed.
    pub(super) fn claimable(&self) -> Claimable {
        let mut claimable = Claimable {
            hosted: Vec::new(),
            room: u64::MAX,
            is_some_busy: false,
        };
        for (name, versions) in &self.entrypoints {
            for (version, hosts) in versions {
                if hosts.free == 0 {
                    claimable.is_some_busy |= !hosts.able.is_empty();
                    continue;
                }
                claimable.room = claimable.room.min(hosts.free);
                claimable.hosted.push(EntrypointVersion {
                    name: Arc::clone(name),
                    version: Arc::clone(&version.0),
                });
            }
        }
        claimable
    }

    /// Changes a worker, and what is known of its room.
    fn change(&mut self, worker: WorkerId, change: impl FnOnce(&mut Connected)) {
        let Some(connected) = self.workers.get_mut(&worker) else {
            return;
        };
        let before = connected.free();
        change(connected);
        let after = connected.free();
        if before == after {
            return;
        }
        for (name, version) in &connected.able {
            if let Some(hosts) = hosts_of(&mut self.entrypoints, name, version) {
                hosts.free = hosts.free.saturating_add(after).saturating_sub(before);
                match after {
                    0 => hosts.ready.remove(&worker),
                    _ => hosts.ready.insert(worker),
                };
            }
        }
    }
}

fn hosts_of<'a>(
    entrypoints: &'a mut BTreeMap<Arc<str>, BTreeMap<Version, Hosts>>,
    name: &str,
    version: &Version,
) -> Option<&'a mut Hosts> {
    entrypoints.get_mut(name)?.get_mut(version)
}

/// The version that is taken if none is asked for.
fn default_of(versions: &BTreeMap<Version, Hosts>) -> Option<&Hosts> {
    let described = || {
        let last_first = versions.values().rev();
        last_first.filter(|hosts| hosts.description.is_some())
    };
    described()
        .find(|hosts| !hosts.able.is_empty())
        .or_else(|| described().next())
}
