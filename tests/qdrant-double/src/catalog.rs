//! All collections of a folder.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use qdrant_client::qdrant::CreateCollection;
use tonic::Status;

use crate::{
    collection::Collection,
    layout::Layout,
    refusal::{broken, invalid, no_collection},
};

/// All collections of a folder.
pub(crate) struct Catalog {
    folder: PathBuf,
    collections: Mutex<BTreeMap<String, Arc<Collection>>>,
    slow_copies: bool,
    /// How many more calls for a collection find no copy of it.
    unready: Mutex<BTreeMap<String, u32>>,
}

/// Calls for a collection that was only just made that find no copy of it, where copies are slow.
const UNREADY: u32 = 3;

impl Catalog {
    /// Opens all collections of a folder.
    pub(crate) fn load(folder: PathBuf, slow_copies: bool) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut collections = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().context("a folder with a strange name")?;
            // A kill may have left a folder without its description: no collection yet.
            if entry.path().join("collection.json").exists() {
                let collection = Collection::load(&entry.path())?;
                collections.insert(name.to_owned(), Arc::new(collection));
            }
        }
        Ok(Self {
            folder,
            collections: Mutex::new(collections),
            slow_copies,
            unready: Mutex::default(),
        })
    }

    /// A collection by its name, if a copy of it is ready.
    pub(crate) fn find_copy(&self, name: &str) -> Result<Arc<Collection>, Status> {
        let found = self.find(name)?;
        let mut unready = self.unready.lock().unwrap_or_else(PoisonError::into_inner);
        match unready.get_mut(name) {
            Some(left @ 1..) => {
                *left -= 1;
                Err(broken("0 of 0 read operations failed"))
            }
            Some(0) | None => Ok(found),
        }
    }

    /// A collection by its name, ready or not.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Collection>, Status> {
        let collections = self.collections.lock();
        let collections = collections.unwrap_or_else(PoisonError::into_inner);
        let found = collections.get(name).cloned();
        found.ok_or_else(|| no_collection(name))
    }

    /// Makes a collection.
    pub(crate) fn create(&self, request: CreateCollection) -> Result<(), Status> {
        let name = request.collection_name.clone();
        let unusual = ['<', '>', ':', '"', '/', '\\', '|', '?', '*', '\0', '\u{1f}'];
        if name.is_empty() || name.len() > 255 || name.contains(unusual) || name.starts_with('.') {
            return Err(invalid("Validation error: this is no name of a collection"));
        }
        let layout = Layout::read(request)?;
        let collections = self.collections.lock();
        let mut collections = collections.unwrap_or_else(PoisonError::into_inner);
        if collections.contains_key(&name) {
            let message = format!("Wrong input: Collection `{name}` already exists!");
            return Err(Status::already_exists(message));
        }
        if self.slow_copies {
            let mut unready = self.unready.lock().unwrap_or_else(PoisonError::into_inner);
            if unready.insert(name.clone(), UNREADY).is_none() {
                return Err(broken("Waiting for consensus operation commit failed"));
            }
        }
        let made = Collection::create(&self.folder.join(&name), layout);
        let made = made.map_err(|error| broken(format!("{error:#}")))?;
        collections.insert(name, Arc::new(made));
        Ok(())
    }

    /// Drops a collection; whether it was there.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, Status> {
        let collections = self.collections.lock();
        let mut collections = collections.unwrap_or_else(PoisonError::into_inner);
        if collections.remove(name).is_none() {
            return Ok(false);
        }
        let removed = fs::remove_dir_all(self.folder.join(name));
        removed.map_err(broken)?;
        Ok(true)
    }
}
