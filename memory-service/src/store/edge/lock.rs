//! The lock of a data folder.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use super::folder::FolderError;

/// A folder that is no other's as long as this value lives, or the process does.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes a folder.
    ///
    /// # Errors
    /// [`FolderError`] if another has it, or it cannot be written to.
    pub(super) fn take(folder: &Path) -> Result<Self, FolderError> {
        let io_error = |cause| FolderError::Io {
            folder: folder.to_owned(),
            cause,
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("LOCK"))
            .map_err(io_error)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => FolderError::InUse(folder.to_owned()),
            TryLockError::Error(cause) => io_error(cause),
        })?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // To close the file may not be enough: a process that this one is just starting has it
        // open, too, until it runs its own program.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_free_although_a_process_that_is_being_started_has_its_lock_open() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        assert!(matches!(
            Lock::take(folder.path()),
            Err(FolderError::InUse(_))
        ));
        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        Lock::take(folder.path()).unwrap();
        drop(inherited);
    }
}
