//! The open engine: what readers and the writer have in common.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use qdrant_edge::{EdgeShard, OperationError, UpdateOperation};

use super::{
    durable::Disk,
    folder::{Folder, FolderError},
    inventory::{Closed, Seal},
    optimiser::{self, Litter},
    query,
    registry::Registry,
    renewal, schema,
    settings::{Begun, Settings},
    turn::Turn,
};
use crate::{
    domain::IndexIdentity,
    store::{
        PointId, StoreError,
        index::{Index, Stage},
        selection::Selection,
    },
};

/// Points of one page while the registry is made.
const SCAN_PAGE: usize = 1000;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The engine cannot be started on it.
    #[error("the data in `{folder}` cannot be opened: {cause}")]
    Engine {
        /// The folder.
        folder: String,
        /// Why.
        cause: StoreError,
    },
}

/// How much a write makes the data grow.
#[derive(Clone, Copy, Debug)]
pub(super) enum Growth {
    /// A put: by documents and vectors.
    Much,
    /// Any other: by what the log says of it, until it frees space.
    Little,
}

/// The engine, or both of them while everything is indexed anew.
#[derive(Clone)]
pub(super) struct Engines {
    /// What says which items there are; of the index that searches use.
    pub(super) first: Arc<EdgeShard>,
    /// The present index while it is filled: the same items, but for those that are missing in it.
    /// After that the former one, as it was then.
    pub(super) other: Option<Arc<EdgeShard>>,
    pub(super) stage: Stage,
}

impl Engines {
    /// The engine of an index.
    pub(super) fn of(&self, index: Index) -> Result<&Arc<EdgeShard>, StoreError> {
        let found = if index == self.stage.searched() {
            Some(&self.first)
        } else {
            self.other.as_ref()
        };
        found.ok_or_else(|| StoreError::Unavailable("its index was replaced meanwhile".into()))
    }

    /// The engine of the present index while that is filled.
    pub(super) fn filled(&self) -> Option<&Arc<EdgeShard>> {
        let other = self.other.as_ref();
        other.filter(|_| self.stage.searched() == Index::Former)
    }
}

/// What readers and the writer have in common.
pub(super) struct Shared {
    engines: RwLock<Engines>,
    /// Items that are not, or not as they are, in the present index while it is filled.
    missing: Mutex<BTreeSet<PointId>>,
    registry: RwLock<Registry>,
    /// What was removed and still takes up room.
    pub(super) litter: Litter,
    pub(super) disk: Disk,
    pub(super) turn: Turn,
    pub(super) seal: Seal,
    least_free: u64,
    /// The folder of the index that is filled.
    next: Option<Folder>,
    /// Let go of last, after the engine.
    folder: Folder,
}

impl Shared {
    /// Opens the engine in a folder. Blocks.
    pub(super) fn open(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let (folder, found) = Folder::open(path, &settings.index(), settings.former.as_ref())?;
        let io_error = |cause| FolderError::Io {
            folder: path.to_owned(),
            cause,
        };
        let next = match found {
            Index::Former => Some(folder.successor(&settings.index()).map_err(io_error)?),
            Index::Present => {
                if settings.begun == Begun::Abandon {
                    folder.abandon_successor().map_err(io_error)?;
                }
                None
            }
        };
        let engines = || -> Result<_, StoreError> {
            // The log is done again, in files that get their space when they are touched.
            leave_free(path, settings.least_free / 4)?;
            let closed = Closed::read(folder.path())?;
            if let Some(closed) = &closed {
                closed.check_segments(&folder.engine())?;
            }
            let first = Arc::new(start(&folder, settings)?);
            let registry = scan(&first)?;
            if let Some(closed) = &closed {
                closed.check_items(&registry.inventory())?;
            }
            let seal = Seal::new(closed.as_ref());
            let Some(next) = &next else {
                let engines = Engines {
                    first,
                    other: None,
                    stage: Stage::Settled,
                };
                return Ok((engines, registry, seal, BTreeSet::new()));
            };
            // What takes its place has other parts.
            seal.open(folder.path())?;
            let other = Arc::new(start(next, settings)?);
            let missing = renewal::differences(&first, &other)?;
            let engines = Engines {
                first,
                other: Some(other),
                stage: Stage::Filling,
            };
            Ok((engines, registry, seal, missing))
        };
        let (engines, registry, seal, missing) = engines().map_err(|cause| OpenError::Engine {
            folder: path.display().to_string(),
            cause,
        })?;
        Ok(Self {
            engines: RwLock::new(engines),
            missing: Mutex::new(missing),
            registry: RwLock::new(registry),
            litter: Litter::new(settings.optimise_from),
            disk: Disk::new(settings.flush),
            turn: Turn::new(),
            seal,
            least_free: settings.least_free,
            next,
            folder,
        })
    }

    /// The engines as they are at present; whoever holds on to them can finish what it reads.
    pub(super) fn engines(&self) -> Engines {
        let engines = self.engines.read();
        engines.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The engine that says which items there are.
    pub(super) fn shard(&self) -> Arc<EdgeShard> {
        self.engines().first
    }

    /// Only for the writer, which sees to it that both are of the same items.
    pub(super) fn set_engines(&self, engines: Engines) {
        *self.engines.write().unwrap_or_else(PoisonError::into_inner) = engines;
    }

    /// Items that are missing in the present index.
    pub(super) fn missing(&self) -> MutexGuard<'_, BTreeSet<PointId>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The folder of the index that is filled.
    pub(super) fn next(&self) -> Option<&Folder> {
        self.next.as_ref()
    }

    /// What page tokens are sealed with.
    pub(super) fn secret(&self) -> &[u8] {
        self.folder.secret()
    }

    pub(super) fn registry(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn registry_mut(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one operation. It is on the disk after [`acknowledge`](Self::acknowledge).
    pub(super) fn update(&self, operation: UpdateOperation) -> Result<(), StoreError> {
        self.seal.open(self.folder.path())?;
        let updated = self.shard().update(operation).map_err(engine_error);
        self.disk.lags();
        updated.inspect_err(|_| self.seal.doubt())
    }

    /// Writes down what is there, when everything is on the disk and nothing is written any more.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        // Parts that were replaced while somebody read them go with a flush after that, also if nothing
        // was written since.
        self.shard().flush().map_err(engine_error)?;
        let items = self.registry().inventory();
        self.seal
            .close(self.folder.path(), self.shard().path(), items)
    }

    /// Whether there is room on the disk for a write.
    pub(super) fn check_room(&self, growth: Growth) -> Result<(), StoreError> {
        let needed = match growth {
            Growth::Much => self.least_free,
            Growth::Little => self.least_free / 2,
        };
        leave_free(self.folder.path(), needed)
    }
}

/// Whether the disk of a folder has so many bytes left.
fn leave_free(folder: &Path, needed: u64) -> Result<(), StoreError> {
    let free =
        fs4::available_space(folder).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    if free < needed {
        return Err(StoreError::Full { free, needed });
    }
    Ok(())
}

/// Starts the engine in a folder.
fn start(folder: &Folder, settings: &Settings) -> Result<EdgeShard, StoreError> {
    let IndexIdentity { embedder, paths: _ } = folder.index();
    let dims = embedder.as_ref().map(|embedder| embedder.dims);
    let config = schema::config(dims, optimiser::config(settings.optimise_from));
    optimiser::remove_unfinished(&folder.engine())?;
    let shard = EdgeShard::load(&folder.engine(), Some(config)).map_err(engine_error)?;
    schema::create_indexes(&shard)?;
    Ok(shard)
}

fn scan(shard: &EdgeShard) -> Result<Registry, StoreError> {
    let mut registry = Registry::default();
    let mut from = None;
    loop {
        let (heads, next) = query::walk(shard, &Selection::default(), from, SCAN_PAGE)?;
        for (_, head) in heads {
            registry.change(&head.tenant, &head.id, None, Some(&head.version));
        }
        match next {
            Some(next) => from = Some(next),
            None => return Ok(registry),
        }
    }
}

/// An error of the engine. Whether a later call may succeed depends on whose fault it is.
pub(super) fn engine_error(error: OperationError) -> StoreError {
    match error {
        OperationError::ServiceError { .. }
        | OperationError::FileNotFound { .. }
        | OperationError::OutOfMemory { .. }
        | OperationError::OutOfAppendableCapacity { .. }
        | OperationError::Cancelled { .. }
        | OperationError::Timeout { .. } => StoreError::Unavailable(error.to_string()),
        OperationError::InconsistentStorage { .. } => StoreError::Corrupt(error.to_string()),
        other => StoreError::Internal(other.to_string()),
    }
}
