//! What was stored when the folder was closed in good order.
//!
//! The engine does not tell of every loss: a part of its data of which a file is missing is removed
//! when it is opened, as if a crash had left it unfinished. So what is there then is compared with
//! what was there. A crash leaves nothing to compare with: the file goes before anything is changed.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::folder::write_whole;
use crate::{domain::Version, store::StoreError};

/// The file that says it.
const CLOSED: &str = "CLOSED";

/// The file that makes a folder a part of the engine's data.
const WHOLE: &str = "version.info";

/// All items together: equal for equal items, in whatever order they came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inventory {
    items: u64,
    /// Their sum.
    etags: u128,
    /// Their sum, in microseconds.
    ends: i64,
}

impl Inventory {
    /// Takes note of an item that is there.
    pub(super) fn add(&mut self, version: &Version) {
        self.items = self.items.wrapping_add(1);
        self.etags = self.etags.wrapping_add(version.etag.number());
        self.ends = self.ends.wrapping_add(end(version));
    }

    /// Takes note that an item is not there any more.
    pub(super) fn remove(&mut self, version: &Version) {
        self.items = self.items.wrapping_sub(1);
        self.etags = self.etags.wrapping_sub(version.etag.number());
        self.ends = self.ends.wrapping_sub(end(version));
    }
}

fn end(version: &Version) -> i64 {
    version.expire_time.map_or(0, |time| time.micros())
}

/// What was there when a folder was closed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Closed {
    items: Inventory,
    /// Parts of the engine's data.
    segments: Vec<String>,
}

impl Closed {
    /// Reads it, if the folder was closed in good order and nothing was written since.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let text = match fs::read(folder.join(CLOSED)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable(&error)),
        };
        let closed = serde_json::from_slice(&text);
        closed
            .map(Some)
            .map_err(|error| lost(&format!("the file `{CLOSED}` is damaged ({error})")))
    }

    /// Compares the engine's folder with it, before the engine removes what it takes for unfinished.
    pub(super) fn check_segments(&self, engine: &Path) -> Result<(), StoreError> {
        let is_there =
            |segment: &&String| engine.join("segments").join(segment).join(WHOLE).exists();
        match self.segments.iter().find(|segment| !is_there(segment)) {
            None => Ok(()),
            Some(segment) => Err(lost(&format!("`segments/{segment}` is not whole"))),
        }
    }

    /// Compares what is there with it.
    pub(super) fn check_items(&self, found: &Inventory) -> Result<(), StoreError> {
        if self.items == *found {
            return Ok(());
        }
        let (items, found) = (self.items.items, found.items);
        Err(lost(&match found == items {
            true => "some items are not as they were when it was closed".to_owned(),
            false => format!("{items} items were there when it was closed, and {found} are now"),
        }))
    }
}

/// Whether the file says what is there.
#[derive(Debug)]
pub(super) struct Seal {
    on_disk: AtomicBool,
    /// What is there may be something else than what is known of it.
    doubtful: AtomicBool,
}

impl Seal {
    /// Of a folder that was closed like that, or was not.
    pub(super) fn new(closed: Option<&Closed>) -> Self {
        Self {
            on_disk: AtomicBool::new(closed.is_some()),
            doubtful: AtomicBool::new(false),
        }
    }

    /// Lets items, or parts of the engine's data, be changed: from now on the file is not there, after
    /// a loss of power neither.
    pub(super) fn open(&self, folder: &Path) -> Result<(), StoreError> {
        if !self.on_disk.load(Ordering::Acquire) {
            return Ok(());
        }
        match fs::remove_file(folder.join(CLOSED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unavailable(&error));
            }
            _ => {}
        }
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| unavailable(&error))?;
        self.on_disk.store(false, Ordering::Release);
        Ok(())
    }

    /// Takes note that a write failed, so that nobody knows what it did.
    pub(super) fn doubt(&self) {
        self.doubtful.store(true, Ordering::Release);
    }

    /// Writes down what is there, when everything is on the disk.
    pub(super) fn close(
        &self,
        folder: &Path,
        engine: &Path,
        items: Inventory,
    ) -> Result<(), StoreError> {
        if self.on_disk.load(Ordering::Acquire) || self.doubtful.load(Ordering::Acquire) {
            return Ok(());
        }
        let segments = segments(engine).map_err(|error| unavailable(&error))?;
        let closed = serde_json::to_vec(&Closed { items, segments });
        let closed = closed.map_err(|error| StoreError::Internal(error.to_string()))?;
        write_whole(folder, CLOSED, &closed).map_err(|error| unavailable(&error))
    }
}

fn segments(engine: &Path) -> io::Result<Vec<String>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(engine.join("segments"))? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && Uuid::try_parse(&name).is_ok()
            && entry.path().join(WHOLE).exists()
        {
            segments.push(name);
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

fn lost(what: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{what}; restore a backup, or remove the file `{CLOSED}` to go on with what is there, as is right if an older version of this program wrote to it since"
    ))
}

fn unavailable(error: &io::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

#[cfg(test)]
#[path = "inventory_tests.rs"]
mod tests;
