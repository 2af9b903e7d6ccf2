//! Models on the disk: their folders, what can be wrong with one, and names for what is in them.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

/// A model that runs in this process.
pub(super) trait Model: Send + Sync + 'static {
    /// Vectors of one length, one for each text. It takes its time, on the thread it is called on
    /// or on those of a pool.
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String>;
}

/// Why a folder holds no model that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A file is not there.
    #[error("there is no `{0}`")]
    Missing(String),
    /// A file cannot be read.
    #[error("`{file}` cannot be read: {cause}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        cause: String,
    },
    /// A file does not hold what it should.
    #[error("`{file}` cannot be used: {cause}")]
    Unusable {
        /// The file.
        file: String,
        /// Why.
        cause: String,
    },
    /// Its vectors have another length than was asked for.
    #[error("it makes vectors of {found} dimensions, and `--embedding-dims` asks for {asked}")]
    Dims {
        /// The length that was asked for.
        asked: usize,
        /// The length that it makes.
        found: usize,
    },
    /// It fails on the first text it is given.
    #[error("it does not work: {0}")]
    Broken(String),
}

/// A model's folder while it is read. What was read gives the model its name, wherever the folder
/// is and whatever its files are called.
pub(super) struct Folder {
    path: PathBuf,
    digest: Sha256,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            digest: Sha256::new(),
        }
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, file: &str) -> bool {
        self.path.join(file).is_file()
    }

    /// The path of a file, to show.
    pub(super) fn shown(&self, file: &str) -> String {
        self.path.join(file).display().to_string()
    }

    /// Reads a file.
    pub(super) fn read(&mut self, file: &str) -> Result<Vec<u8>, ModelError> {
        let bytes = fs::read(self.path.join(file)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ModelError::Missing(self.shown(file)),
            _ => self.unreadable(file, &error),
        })?;
        self.digest.update(bytes.len().to_le_bytes());
        self.digest.update(&bytes);
        Ok(bytes)
    }

    /// Reads a file of JSON; `None` if there is none.
    pub(super) fn read_json<T: DeserializeOwned>(
        &mut self,
        file: &str,
    ) -> Result<Option<T>, ModelError> {
        if !self.has(file) {
            return Ok(None);
        }
        let bytes = self.read(file)?;
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|error| self.unusable(file, error))
    }

    /// The only file in `subfolder` whose name ends in `.extension`; `None` if there is none, or no
    /// such folder.
    pub(super) fn only(
        &self,
        subfolder: &str,
        extension: &str,
    ) -> Result<Option<String>, ModelError> {
        let entries = match fs::read_dir(self.path.join(subfolder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unreadable(subfolder, &error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry
                .map_err(|error| self.unreadable(subfolder, &error))?
                .file_name();
            if Path::new(&name)
                .extension()
                .is_some_and(|it| it == extension)
            {
                found.push(format!("{subfolder}/{}", name.display()));
            }
        }
        match found.len() {
            0 | 1 => Ok(found.pop()),
            several => {
                let cause = format!("it holds {several} `.{extension}` files; leave one");
                Err(self.unusable(subfolder, cause))
            }
        }
    }

    /// Says that a file does not hold what it should.
    pub(super) fn unusable(&self, file: &str, cause: impl ToString) -> ModelError {
        ModelError::Unusable {
            file: self.shown(file),
            cause: cause.to_string(),
        }
    }

    /// Says that a file cannot be read.
    fn unreadable(&self, file: &str, error: &io::Error) -> ModelError {
        ModelError::Unreadable {
            file: self.shown(file),
            cause: error.to_string(),
        }
    }

    /// The name of all that was read: 16 hexadecimal digits, which no two models share by chance.
    pub(super) fn fingerprint(self) -> String {
        let digest = self.digest.finalize();
        let mut name = String::new();
        for byte in digest.iter().take(8) {
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}

/// What a model wants to read in front of a text, by what the text is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prompts {
    pub(super) document: String,
    pub(super) query: String,
}

/// `config_sentence_transformers.json`, as far as it matters.
#[derive(Default, Deserialize)]
struct Settings {
    #[serde(default)]
    prompts: std::collections::HashMap<String, String>,
    default_prompt_name: Option<String>,
}

impl Prompts {
    /// Those of a model in the sentence-transformers format; none for others.
    pub(super) fn read(folder: &mut Folder) -> Result<Self, ModelError> {
        let settings = folder.read_json::<Settings>("config_sentence_transformers.json")?;
        let Settings {
            prompts,
            default_prompt_name,
        } = settings.unwrap_or_default();
        // The names that sentence-transformers goes by, in its order.
        let prompt = |names: &[&str]| {
            let default = default_prompt_name.as_deref();
            let mut names = names.iter().copied().chain(default);
            let named = names.find_map(|name| prompts.get(name));
            named.cloned().unwrap_or_default()
        };
        Ok(Self {
            document: prompt(&["document", "passage", "corpus"]),
            query: prompt(&["query"]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_for_what_it_is_wherever_it_is() {
        let name = |files: &[(&str, &str)]| {
            let path = tempfile::tempdir().unwrap();
            let mut folder = Folder::new(path.path());
            for (file, content) in files {
                fs::write(path.path().join(file), content).unwrap();
                folder.read(file).unwrap();
            }
            folder.fingerprint()
        };
        let one = name(&[("a", "12"), ("b", "3")]);
        assert_eq!(one.len(), 16);
        assert_eq!(one, name(&[("c", "12"), ("d", "3")]));
        assert_ne!(one, name(&[("a", "1"), ("b", "23")]));
    }

    #[test]
    fn prompts_are_found_by_the_names_that_models_use() {
        let prompts = |settings: &str| {
            let path = tempfile::tempdir().unwrap();
            fs::write(
                path.path().join("config_sentence_transformers.json"),
                settings,
            )
            .unwrap();
            let Prompts { document, query } = Prompts::read(&mut Folder::new(path.path())).unwrap();
            (document, query)
        };
        let pair = |document: &str, query: &str| (document.to_owned(), query.to_owned());
        assert_eq!(prompts("{}"), pair("", ""));
        assert_eq!(
            prompts(r#"{"prompts":{"query":"query: ","passage":"passage: "}}"#),
            pair("passage: ", "query: ")
        );
        assert_eq!(
            prompts(r#"{"prompts":{"query":"q ","sts":"s "},"default_prompt_name":"sts"}"#),
            pair("s ", "q ")
        );
    }
}
