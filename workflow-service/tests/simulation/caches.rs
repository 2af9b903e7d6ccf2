//! What is cached, by the writes that were committed.

use std::collections::HashMap;

use weft_worker::{Json, protocol::CacheEntry};
use workflow_service::{
    domain::Timestamp,
    store::{CacheScope, CachedResult},
};

/// Caches holds what must be found: what was kept last under each key, until it expires.
#[derive(Default)]
pub(crate) struct Caches(HashMap<Key, Kept>);

/// Entrypoint, task and key.
type Key = (String, Option<String>, String);

#[derive(Debug)]
struct Kept {
    value: String,
    saved: Option<String>,
    expire_time: Timestamp,
}

impl Caches {
    pub(crate) fn keep(
        &mut self,
        entrypoint: &str,
        task: Option<&str>,
        entry: &CacheEntry,
        (value, saved): (&Json, Option<&Json>),
        now: Timestamp,
    ) {
        let key = (
            entrypoint.to_owned(),
            task.map(str::to_owned),
            entry.key.clone(),
        );
        let kept = Kept {
            value: value.get().to_owned(),
            saved: saved.map(|saved| saved.get().to_owned()),
            expire_time: now.after(entry.ttl),
        };
        self.0.insert(key, kept);
    }

    /// What has expired by now is deleted.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        self.0.retain(|_, kept| kept.expire_time > now);
    }

    /// Checks what was found.
    pub(crate) fn found(
        &self,
        scope: &CacheScope,
        key: &str,
        now: Timestamp,
        found: Option<&CachedResult>,
    ) -> Result<(), String> {
        let key = (
            scope.entrypoint.name.to_string(),
            scope.task.as_deref().map(str::to_owned),
            key.to_owned(),
        );
        let kept = self.0.get(&key).filter(|kept| kept.expire_time > now);
        let is_right = match (kept, found) {
            (None, None) => true,
            (Some(kept), Some(found)) => {
                kept.value == found.value.get()
                    && kept.saved.as_deref() == found.saved.as_ref().map(|saved| saved.get())
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        match is_right {
            true => Ok(()),
            false => Err(format!(
                "{key:?} is cached as {kept:?}, and {found:?} was found"
            )),
        }
    }
}
