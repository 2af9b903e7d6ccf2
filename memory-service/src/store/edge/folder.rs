//! The data folder of the engine: who owns it, in which format it is, and its secret.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::{
    format::{CURRENT, Format, NEXT, VERSION, is_engine},
    lock::Lock,
};
use crate::{domain::IndexIdentity, store::index::Index};

/// Bytes of the folder's secret: as many as HMAC-SHA256 makes use of.
const SECRET_BYTES: usize = 32;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("the data folder `{}` is in use by another process; stop it or give another `--data-dir`", .0.display())]
    InUse(PathBuf),
    /// It is of another version of this program.
    #[error("the data folder `{}` has format `{found}`, but this version reads `{VERSION}`", .folder.display())]
    Format {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        found: String,
    },
    /// Its vectors are of another embedder.
    #[error("the data folder `{}` has vectors of {found}, but the embedder is {configured}; configure the former, or give it as `--former-embedder` beside the latter to have everything indexed anew while it is served, or run `memory-service reindex` with the latter, or give another `--data-dir`", .folder.display())]
    Embedder {
        /// The folder.
        folder: PathBuf,
        /// What made its vectors.
        found: String,
        /// What is to make them now.
        configured: String,
    },
    /// It holds something else.
    #[error("the data folder `{}` holds files that are not a memory store's; give another `--data-dir`", .0.display())]
    Foreign(PathBuf),
    /// It cannot be read or written.
    #[error("the data folder `{}` cannot be used: {cause}", .folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// A data folder that belongs to this process for as long as this value lives, also if the
/// process is killed meanwhile: the lock is the operating system's.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    format: Format,
    secret: [u8; SECRET_BYTES],
    lock: Arc<Lock>,
}

impl Folder {
    /// Takes the folder, made if it is not there, for this index, or with `former` for the data that
    /// is in that; which of them it is.
    ///
    /// # Errors
    /// [`FolderError`] names the folder and what to do.
    pub(super) fn open(
        folder: &Path,
        index: &IndexIdentity,
        former: Option<&IndexIdentity>,
    ) -> Result<(Self, Index), FolderError> {
        let io_error = |cause| FolderError::Io {
            folder: folder.to_owned(),
            cause,
        };
        fs::create_dir_all(folder).map_err(io_error)?;
        let lock = Lock::take(folder)?;
        let (format, found) = match Format::read(folder, CURRENT).map_err(io_error)? {
            Some(Ok(format)) => {
                let found = check(folder, &format.index, index, former)?;
                (format, found)
            }
            Some(Err(found)) => {
                return Err(FolderError::Format {
                    folder: folder.to_owned(),
                    found,
                });
            }
            None if holds_nothing(folder).map_err(io_error)? => {
                let format = Format::new(index.clone());
                format.write(folder, CURRENT).map_err(io_error)?;
                (format, Index::Present)
            }
            None => return Err(FolderError::Foreign(folder.to_owned())),
        };
        let secret = match read_secret(folder).map_err(io_error)? {
            Some(secret) => secret,
            None => write_secret(folder).map_err(io_error)?,
        };
        fs::create_dir_all(folder.join(&format.engine)).map_err(io_error)?;
        let folder = Self {
            path: folder.to_owned(),
            format,
            secret,
            lock: Arc::new(lock),
        };
        folder.remove_old_engines().map_err(io_error)?;
        Ok((folder, found))
    }

    /// The folder itself.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the engine keeps its files.
    #[must_use]
    pub(super) fn engine(&self) -> PathBuf {
        self.path.join(&self.format.engine)
    }

    /// What the folder's data is indexed with, read without taking it; `None` if it is not there.
    ///
    /// # Errors
    /// [`FolderError`] if it is of another version or cannot be read.
    pub(super) fn identity(folder: &Path) -> Result<Option<IndexIdentity>, FolderError> {
        match Format::read(folder, CURRENT) {
            Ok(Some(Ok(format))) => Ok(Some(format.index)),
            Ok(None) => Ok(None),
            Ok(Some(Err(found))) => Err(FolderError::Format {
                folder: folder.to_owned(),
                found,
            }),
            Err(cause) => Err(FolderError::Io {
                folder: folder.to_owned(),
                cause,
            }),
        }
    }

    /// What the engine's data is indexed with.
    pub(super) fn index(&self) -> &IndexIdentity {
        &self.format.index
    }

    /// The same folder with another engine in it, for this index. It is not in force
    /// before [`commit`](Self::commit); until then it is continued by whoever asks for the same.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn successor(&self, index: &IndexIdentity) -> io::Result<Self> {
        let begun = Format::read(&self.path, NEXT)?.and_then(Result::ok);
        let format = match begun {
            Some(begun) if begun.index == *index => begun,
            _ => {
                self.abandon_successor()?;
                let format = self.format.following(index.clone());
                format.write(&self.path, NEXT)?;
                format
            }
        };
        fs::create_dir_all(self.path.join(&format.engine))?;
        Ok(Self {
            path: self.path.clone(),
            format,
            secret: self.secret,
            lock: self.lock.clone(),
        })
    }

    /// Forgets an engine that was begun and is not in force.
    pub(super) fn abandon_successor(&self) -> io::Result<()> {
        match fs::remove_file(self.path.join(NEXT)) {
            Ok(()) => self.remove_old_engines(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts the successor in force, all of it at once.
    pub(super) fn commit(&self) -> io::Result<()> {
        fs::rename(self.path.join(NEXT), self.path.join(CURRENT))?;
        File::open(&self.path)?.sync_all()
    }

    /// Removes the engines that no file names.
    pub(super) fn remove_old_engines(&self) -> io::Result<()> {
        let mut named = Vec::new();
        for file in [CURRENT, NEXT] {
            match Format::read(&self.path, file)? {
                Some(Ok(format)) => named.push(format.engine),
                // Of another version, which knows more of what is here.
                Some(Err(_)) => return Ok(()),
                None => {}
            }
        }
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_named = |name: &str| named.iter().any(|named| named == name);
            if name
                .to_str()
                .is_some_and(|name| is_engine(name) && !is_named(name))
            {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Random bytes that are the same for as long as the folder exists, and are in no answer.
    #[must_use]
    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }
}

fn check(
    folder: &Path,
    found: &IndexIdentity,
    configured: &IndexIdentity,
    former: Option<&IndexIdentity>,
) -> Result<Index, FolderError> {
    if found == configured {
        return Ok(Index::Present);
    }
    if former.is_some_and(|former| found.fits(former)) {
        return Ok(Index::Former);
    }
    if found.fits(configured) {
        return Ok(Index::Present);
    }
    Err(FolderError::Embedder {
        folder: folder.to_owned(),
        found: found.to_string(),
        configured: configured.to_string(),
    })
}

fn read_secret(folder: &Path) -> io::Result<Option<[u8; SECRET_BYTES]>> {
    let bytes = match fs::read(folder.join("SECRET")) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let damaged = |_| {
        let cause = format!("`SECRET` is not of {SECRET_BYTES} bytes; remove it to have it anew");
        io::Error::new(io::ErrorKind::InvalidData, cause)
    };
    bytes.try_into().map(Some).map_err(damaged)
}

fn write_secret(folder: &Path) -> io::Result<[u8; SECRET_BYTES]> {
    let mut secret = [0; SECRET_BYTES];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| io::Error::other("the operating system has no random numbers"))?;
    write_whole(folder, "SECRET", &secret)?;
    Ok(secret)
}

/// Writes a file that only this user may read, by renaming: a crash leaves a whole one or none.
pub(super) fn write_whole(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let draft = folder.join(format!("{name}.new"));
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(draft, folder.join(name))?;
    File::open(folder)?.sync_all()
}

fn holds_nothing(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if !matches!(entry?.file_name().to_str(), Some("LOCK" | "FORMAT.new")) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
