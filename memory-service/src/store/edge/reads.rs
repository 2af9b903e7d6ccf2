//! Reads, on threads that may block.
//!
//! Items that are asked for by name while others are read are read together, after those: to hand
//! each to a thread of its own would cost several times what it takes to read it.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use service_runtime::Tenant;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot},
    task::spawn_blocking,
};

use super::{query, shared::Shared};
use crate::{
    domain::{Item, Time},
    store::{PointId, StoreError, queue::closed},
};

/// Reads that run at once, for each processor: more would only switch between them.
const READS_PER_PROCESSOR: usize = 4;

/// Items that are read together at most: enough to make the cost of a thread disappear, and few
/// enough that large ones (1 MiB each) do not hold up small ones for long.
const ITEMS_AT_ONCE: usize = 32;

/// All reads of the store.
pub(super) struct Reads {
    shared: Arc<Shared>,
    running: Permits,
    items: Arc<Items>,
}

impl Reads {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            shared,
            running: Permits::new(processors * READS_PER_PROCESSOR),
            items: Arc::new(Items {
                wanted: Mutex::default(),
                readers: Permits::new(processors),
            }),
        }
    }

    /// Runs a read.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = self.running.semaphore.clone().acquire_owned();
        let permit = permit.await.map_err(|_| closed())?;
        let shared = self.shared.clone();
        let task = spawn_blocking(move || {
            let answer = read(&shared);
            drop(shared);
            // Not before: closing waits for permits, also of reads whose callers have gone.
            drop(permit);
            answer
        });
        task.await
            .map_err(|error| StoreError::Internal(error.to_string()))?
    }

    /// Runs a read that may look at much, once it is its turn.
    pub(super) async fn search<T: Send + 'static>(
        &self,
        search: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.turn.of_search().await;
        self.run(search).await
    }

    /// Reads one item, if it is this tenant's and has not expired.
    pub(super) async fn item(
        &self,
        tenant: &Tenant,
        point: PointId,
        now: Time,
    ) -> Result<Option<Item>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let wanted = Wanted {
            tenant: tenant.clone(),
            point,
            now,
            reply,
        };
        self.items.read(wanted, &self.shared)?;
        let lost = || match self.items.readers.semaphore.is_closed() {
            true => closed(),
            false => StoreError::Internal("the read ended without an answer".into()),
        };
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Waits for the reads that are under way, and lets none begin any more. After that nothing
    /// holds on to the folder.
    pub(super) async fn finish(&self) {
        self.running.finish().await;
        self.items.readers.finish().await;
        self.items.wanted().clear();
    }
}

/// How many may be at it.
struct Permits {
    semaphore: Arc<Semaphore>,
    most: u32,
}

impl Permits {
    fn new(most: usize) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        Self {
            semaphore: Arc::new(Semaphore::new(most as usize)),
            most,
        }
    }

    async fn finish(&self) {
        let all = self.semaphore.acquire_many(self.most).await;
        self.semaphore.close();
        drop(all);
    }
}

/// Items to be read by their names.
struct Items {
    /// As many as there are calls at most, which the server bounds; the next reader leaves out those
    /// whose callers have gone.
    wanted: Mutex<VecDeque<Wanted>>,
    /// Taken and given back under the lock of what is wanted, so that nothing waits without a reader.
    readers: Permits,
}

struct Wanted {
    tenant: Tenant,
    point: PointId,
    now: Time,
    reply: oneshot::Sender<Result<Option<Item>, StoreError>>,
}

impl Items {
    fn wanted(&self) -> MutexGuard<'_, VecDeque<Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an item read, by a reader that is at it or another one.
    fn read(self: &Arc<Self>, one: Wanted, shared: &Arc<Shared>) -> Result<(), StoreError> {
        let mut wanted = self.wanted();
        match self.readers.semaphore.clone().try_acquire_owned() {
            Ok(permit) => {
                let (own, shared) = (self.clone(), shared.clone());
                // It ends before `finish` has its permit.
                drop(spawn_blocking(move || own.read_all(shared, permit)));
            }
            Err(TryAcquireError::NoPermits) => {}
            Err(TryAcquireError::Closed) => return Err(closed()),
        }
        wanted.push_back(one);
        Ok(())
    }

    /// Reads until nothing is wanted any more.
    fn read_all(&self, shared: Arc<Shared>, permit: OwnedSemaphorePermit) {
        loop {
            let mut wanted = self.wanted();
            wanted.retain(|one| !one.reply.is_closed());
            if wanted.is_empty() {
                drop(shared);
                // Not before: closing waits for it.
                drop(permit);
                return;
            }
            let some = wanted.len().min(ITEMS_AT_ONCE);
            let some: Vec<_> = wanted.drain(..some).collect();
            drop(wanted);
            // Callers of a read that panicked see it end without an answer; others go on.
            let _ = catch_unwind(AssertUnwindSafe(|| read(&shared, some)));
        }
    }
}

fn read(shared: &Shared, wanted: Vec<Wanted>) {
    let points: Vec<_> = wanted.iter().map(|one| one.point).collect();
    let stored = match query::stored(&shared.shard(), &points) {
        Ok(stored) => stored,
        // One that cannot be read does not keep the others from being read.
        Err(_) if wanted.len() > 1 => {
            return wanted.into_iter().for_each(|one| read(shared, vec![one]));
        }
        Err(error) => {
            let unread = |one: Wanted| drop(one.reply.send(Err(error.clone())));
            return wanted.into_iter().for_each(unread);
        }
    };
    for one in wanted {
        let item = match stored.get(&one.point) {
            Some(Ok((owner, item))) if *owner == one.tenant && item.version.is_live(one.now) => {
                Ok(Some(item.clone()))
            }
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(_)) | None => Ok(None),
        };
        // Nobody to tell: the caller has gone.
        drop(one.reply.send(item));
    }
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod tests;
