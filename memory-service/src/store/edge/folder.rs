//! The data folder of the engine: who owns it, in which format it is, and its secret.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::domain::EmbedderIdentity;

/// Version of what is stored: raised when older data needs to be converted.
const FORMAT: &str = "weft-memory-edge 1";

/// Bytes of the folder's secret: as many as HMAC-SHA256 makes use of.
const SECRET_BYTES: usize = 32;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("the data folder `{}` is in use by another process; stop it or give another `--data-dir`", .0.display())]
    InUse(PathBuf),
    /// It is of another version of this program.
    #[error("the data folder `{}` has format `{found}`, but this version reads `{FORMAT}`", .folder.display())]
    Format {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        found: String,
    },
    /// Its vectors are of another embedder.
    #[error("the data folder `{}` has vectors of {found}, but the embedder is {configured}; configure the former, or give another `--data-dir`", .folder.display())]
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
    engine: PathBuf,
    secret: [u8; SECRET_BYTES],
    _lock: File,
}

impl Folder {
    /// Takes the folder, made if it is not there, for vectors of this embedder.
    ///
    /// # Errors
    /// [`FolderError`] names the folder and what to do.
    pub(super) fn open(
        folder: &Path,
        embedder: Option<&EmbedderIdentity>,
    ) -> Result<Self, FolderError> {
        let io_error = |cause| FolderError::Io {
            folder: folder.to_owned(),
            cause,
        };
        let engine = folder.join("engine");
        fs::create_dir_all(folder).map_err(io_error)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("LOCK"))
            .map_err(io_error)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => FolderError::InUse(folder.to_owned()),
            TryLockError::Error(cause) => io_error(cause),
        })?;
        match read_format(folder).map_err(io_error)? {
            Some(found) => check_format(folder, &found, embedder)?,
            None if holds_nothing(folder).map_err(io_error)? => {
                write_format(folder, embedder).map_err(io_error)?;
            }
            None => return Err(FolderError::Foreign(folder.to_owned())),
        }
        let secret = match read_secret(folder).map_err(io_error)? {
            Some(secret) => secret,
            None => write_secret(folder).map_err(io_error)?,
        };
        fs::create_dir_all(&engine).map_err(io_error)?;
        Ok(Self {
            engine,
            secret,
            _lock: lock,
        })
    }

    /// Where the engine keeps its files.
    #[must_use]
    pub(super) fn engine(&self) -> &Path {
        &self.engine
    }

    /// Random bytes that are the same for as long as the folder exists, and are in no answer.
    #[must_use]
    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }
}

fn read_format(folder: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(folder.join("FORMAT")) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Written before the engine's first file: the version, and on a line of its own the embedder, if
/// there is one.
fn write_format(folder: &Path, embedder: Option<&EmbedderIdentity>) -> io::Result<()> {
    let mut format = format!("{FORMAT}\n");
    if let Some(embedder) = embedder {
        format += &serde_json::to_string(embedder)?;
        format.push('\n');
    }
    write_whole(folder, "FORMAT", format.as_bytes())
}

fn check_format(
    folder: &Path,
    found: &str,
    configured: Option<&EmbedderIdentity>,
) -> Result<(), FolderError> {
    let (version, embedder) = found.split_once('\n').unwrap_or((found, ""));
    let embedder = match embedder {
        "" => Ok(None),
        text => serde_json::from_str(text).map(Some),
    };
    let embedder: Option<EmbedderIdentity> = match embedder {
        Ok(embedder) if version == FORMAT => embedder,
        _ => {
            return Err(FolderError::Format {
                folder: folder.to_owned(),
                found: found.to_owned(),
            });
        }
    };
    if embedder.as_ref() == configured {
        return Ok(());
    }
    let shown = |embedder: Option<&EmbedderIdentity>| {
        embedder.map_or_else(|| "`none`".to_owned(), ToString::to_string)
    };
    Err(FolderError::Embedder {
        folder: folder.to_owned(),
        found: shown(embedder.as_ref()),
        configured: shown(configured),
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
fn write_whole(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
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
mod tests {
    use super::*;

    fn open(folder: &Path) -> Result<Folder, FolderError> {
        Folder::open(folder, None)
    }

    #[test]
    fn a_folder_belongs_to_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path()).unwrap();
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
        drop(first);
        open(folder.path()).unwrap();
    }

    #[test]
    fn another_format_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("FORMAT"), "weft-memory-edge 999\n").unwrap();
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("weft-memory-edge 999") && error.contains(FORMAT),
            "{error}"
        );
    }

    #[test]
    fn a_folder_with_other_files_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert!(matches!(open(folder.path()), Err(FolderError::Foreign(_))));
        assert!(!folder.path().join("FORMAT").exists());
    }

    #[test]
    fn a_folder_keeps_its_secret_and_shares_it_with_no_other() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = |folder: &Path| open(folder).unwrap().secret().to_vec();
        let first = secret(one.path());
        assert_eq!(secret(one.path()), first);
        assert_ne!(secret(other.path()), first);
        fs::write(one.path().join("SECRET"), "short").unwrap();
        let error = open(one.path()).unwrap_err().to_string();
        assert!(error.contains("`SECRET`"), "{error}");
    }

    #[test]
    fn a_crash_while_the_folder_was_made_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("FORMAT.new"), "weft-mem").unwrap();
        open(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_takes_vectors_of_the_embedder_it_was_made_for_only() {
        let folder = tempfile::tempdir().unwrap();
        let embedder = |name: &str, dims| EmbedderIdentity {
            name: name.to_owned(),
            dims,
            template: "{text}".to_owned(),
        };
        let open = |embedder: Option<EmbedderIdentity>| {
            let opened = Folder::open(folder.path(), embedder.as_ref());
            opened.map(drop).map_err(|error| error.to_string())
        };
        let own = embedder("http:a", 3);
        open(Some(own.clone())).unwrap();
        open(Some(own)).unwrap();
        for (other, shown) in [
            (None, "`none`"),
            (Some(embedder("http:b", 3)), "`http:b` with 3 dimensions"),
            (Some(embedder("http:a", 4)), "`http:a` with 4 dimensions"),
        ] {
            let error = open(other).unwrap_err();
            assert!(error.contains("`http:a` with 3 dimensions"), "{error}");
            assert!(error.contains(shown), "{error}");
        }
    }
}
