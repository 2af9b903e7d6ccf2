//! The open engine: what readers and the writer have in common.

use std::{
    path::Path,
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use qdrant_edge::{EdgeShard, OperationError, UpdateOperation};

use super::{
    folder::{Folder, FolderError},
    query,
    registry::Registry,
    schema,
    settings::{Begun, Flush, Settings},
};
use crate::store::{StoreError, selection::Selection};

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

/// What readers and the writer have in common.
pub(super) struct Shared {
    pub(super) shard: EdgeShard,
    registry: RwLock<Registry>,
    /// Whether something was written since the last flush.
    dirty: AtomicBool,
    flush: Flush,
    least_free: u64,
    /// Let go of last, after the engine.
    folder: Folder,
}

impl Shared {
    /// Opens the engine in a folder. Blocks.
    pub(super) fn open(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let folder = Folder::open(path, settings.embedder.as_ref())?;
        if settings.begun == Begun::Abandon {
            folder
                .abandon_successor()
                .map_err(|cause| FolderError::Io {
                    folder: path.to_owned(),
                    cause,
                })?;
        }
        Self::start(path, folder, settings)
    }

    /// Opens the engine that is to come after this one, for other vectors. Blocks.
    pub(super) fn successor(&self, settings: &Settings) -> Result<Self, OpenError> {
        let path = self.folder.path();
        let folder = self.folder.successor(settings.embedder.as_ref());
        let folder = folder.map_err(|cause| FolderError::Io {
            folder: path.to_owned(),
            cause,
        })?;
        Self::start(path, folder, settings)
    }

    fn start(path: &Path, folder: Folder, settings: &Settings) -> Result<Self, OpenError> {
        let Settings {
            embedder,
            flush,
            least_free,
            begun: _,
        } = settings;
        let (flush, least_free) = (*flush, *least_free);
        let dims = embedder.as_ref().map(|embedder| embedder.dims);
        let config = schema::config(dims);
        let engine = || -> Result<_, StoreError> {
            let shard = EdgeShard::load(&folder.engine(), Some(config)).map_err(engine_error)?;
            schema::create_indexes(&shard)?;
            let registry = scan(&shard)?;
            Ok((shard, registry))
        };
        let (shard, registry) = engine().map_err(|cause| OpenError::Engine {
            folder: path.display().to_string(),
            cause,
        })?;
        Ok(Self {
            shard,
            registry: RwLock::new(registry),
            dirty: AtomicBool::new(true),
            flush,
            least_free,
            folder,
        })
    }

    /// The data folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a successor in force.
    pub(super) fn commit(&self) -> Result<(), StoreError> {
        let committed = self.folder.commit();
        committed.map_err(|error| StoreError::Unavailable(error.to_string()))
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
        self.dirty.store(true, Ordering::Release);
        self.shard.update(operation).map_err(engine_error)
    }

    /// Makes what was done last survive what it is promised to, before it is acknowledged.
    pub(super) fn acknowledge(&self) -> Result<(), StoreError> {
        match self.flush {
            Flush::Always => self.flush(),
            Flush::Every(_) => Ok(()),
        }
    }

    /// Whether there is room on the disk for a write.
    pub(super) fn check_room(&self, growth: Growth) -> Result<(), StoreError> {
        let needed = match growth {
            Growth::Much => self.least_free,
            Growth::Little => self.least_free / 2,
        };
        let free = fs4::available_space(self.folder.path())
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        if free < needed {
            return Err(StoreError::Full { free, needed });
        }
        Ok(())
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    pub(super) fn flush(&self) -> Result<(), StoreError> {
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.shard.flush().map_err(|error| {
                self.dirty.store(true, Ordering::Release);
                engine_error(error)
            })?;
        }
        Ok(())
    }
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
