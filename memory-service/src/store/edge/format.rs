//! The file that says what a data folder holds: its format, what made its vectors, and in which
//! folder the engine's files are. It is replaced as a whole, so that all of this changes at once.

use std::{fs, io, path::Path};

use super::folder::write_whole;
use crate::domain::IndexIdentity;

/// Version of what is stored: raised when older data needs to be converted.
pub(super) const VERSION: &str = "weft-memory-edge 1";

/// The file of what is in force.
pub(super) const CURRENT: &str = "FORMAT";

/// The file of what is being made to be in force next.
pub(super) const NEXT: &str = "NEXT";

/// The engine's folder, unless the vectors were made anew.
const FIRST_ENGINE: &str = "engine";

/// What a data folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format {
    /// What it is indexed with.
    pub(super) index: IndexIdentity,
    /// Name of the engine's folder.
    pub(super) engine: String,
}

impl Format {
    /// Of a new folder.
    pub(super) fn new(index: IndexIdentity) -> Self {
        Self {
            index,
            engine: FIRST_ENGINE.to_owned(),
        }
    }

    /// Reads what a folder holds: `None` if it holds nothing yet, the text if that is of another
    /// version.
    pub(super) fn read(folder: &Path, file: &str) -> io::Result<Option<Result<Self, String>>> {
        let text = match fs::read_to_string(folder.join(file)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let format = Self::parse(&text);
        Ok(Some(format.ok_or_else(|| text.trim().to_owned())))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(VERSION) {
            return None;
        }
        let embedder = match lines.next() {
            None | Some("") => None,
            Some(json) => Some(serde_json::from_str(json).ok()?),
        };
        let engine = lines.next().unwrap_or(FIRST_ENGINE);
        let paths = match lines.next() {
            None => None,
            Some(json) => Some(serde_json::from_str(json).ok()?),
        };
        is_engine(engine).then(|| Self {
            index: IndexIdentity { embedder, paths },
            engine: engine.to_owned(),
        })
    }

    /// Of the engine that comes after this one.
    pub(super) fn following(&self, index: IndexIdentity) -> Self {
        let number = self
            .engine
            .rsplit_once('.')
            .and_then(|(_, number)| number.parse().ok());
        let number: u64 = number.unwrap_or(1);
        Self {
            index,
            engine: format!("{FIRST_ENGINE}.{}", number + 1),
        }
    }

    /// Writes it: before the engine's first file, or after the last one of another engine folder.
    pub(super) fn write(&self, folder: &Path, file: &str) -> io::Result<()> {
        let IndexIdentity { embedder, paths } = &self.index;
        let embedder = match embedder {
            None => String::new(),
            Some(embedder) => serde_json::to_string(embedder)?,
        };
        let mut text = format!("{VERSION}\n{embedder}\n{}\n", self.engine);
        if let Some(paths) = paths {
            text += &serde_json::to_string(paths)?;
            text.push('\n');
        }
        write_whole(folder, file, text.as_bytes())
    }
}

/// Whether this is what an engine's folder is called.
pub(super) fn is_engine(name: &str) -> bool {
    let rest = name.strip_prefix(FIRST_ENGINE);
    rest.is_some_and(|rest| {
        let number = rest.strip_prefix('.').map(str::parse::<u64>);
        rest.is_empty() || matches!(number, Some(Ok(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EmbedderIdentity;

    #[test]
    fn a_format_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Format::read(folder.path(), CURRENT).unwrap(), None);
        let embedder = EmbedderIdentity {
            name: "http:a".to_owned(),
            dims: 3,
            template: "{text}".to_owned(),
        };
        let index = |embedder: Option<&EmbedderIdentity>, paths: Option<&str>| IndexIdentity {
            embedder: embedder.cloned(),
            paths: paths.map(|path| [path.to_owned()].into()),
        };
        for format in [
            Format::new(index(None, None)),
            Format::new(index(None, Some("$"))),
            Format::new(index(Some(&embedder), None)),
            Format {
                index: index(Some(&embedder), Some("a\nb")),
                engine: "engine.2".to_owned(),
            },
        ] {
            format.write(folder.path(), NEXT).unwrap();
            assert_eq!(Format::read(folder.path(), NEXT).unwrap(), Some(Ok(format)));
        }
    }

    #[test]
    fn what_another_version_wrote_is_told_and_not_guessed() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            "weft-memory-edge 2\n",
            "",
            "weft-memory-edge 1\n{\n",
            "weft-memory-edge 1\n\n/etc\n",
        ] {
            fs::write(folder.path().join(CURRENT), text).unwrap();
            let read = Format::read(folder.path(), CURRENT).unwrap();
            assert_eq!(read, Some(Err(text.trim().to_owned())), "{text}");
        }
    }
}
