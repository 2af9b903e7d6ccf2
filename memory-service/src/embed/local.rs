//! Embedders whose models run in this process, on threads that may block, so many at once.

use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use futures::FutureExt as _;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    EmbedError, Embedded, Embedder,
    bert::Bert,
    model::{Folder, Model, ModelError, Prompts},
    model2vec::Static,
    sharing::{Limits, Queue},
};

/// Texts that are embedded in one go. It keeps a model busy for a second or so.
const BATCH_TEXTS: usize = 64;

/// Most bytes of them, but for a text that is longer by itself.
const BATCH_BYTES: usize = 1 << 20;

/// Most that are embedded at once, however many processors there are: each takes memory, and
/// models split large products up among all processors themselves.
const MAX_THREADS: usize = 8;

/// What a model's folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A vector for each token, averaged over a text: the model2vec format.
    Static,
    /// A BERT encoder in the sentence-transformers format.
    Bert,
}

impl Kind {
    /// What it is called in the configuration, and in the names of embedders.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Bert => "bert",
        }
    }

    fn read(self, folder: &mut Folder) -> Result<Arc<dyn Model>, ModelError> {
        Ok(match self {
            Self::Static => Arc::new(Static::read(folder)?),
            Self::Bert => Arc::new(Bert::read(folder)?),
        })
    }
}

/// Where a model is, and what is asked of it.
#[derive(Clone, Debug)]
pub struct LocalSettings {
    /// What it is.
    pub kind: Kind,
    /// Its folder.
    pub folder: PathBuf,
    /// The length that its vectors must have; `None` for any.
    pub dims: Option<usize>,
    /// How long embedding may take.
    pub timeout: Duration,
}

/// An embedder in this process.
pub struct LocalEmbedder {
    id: String,
    dims: usize,
    prompts: Prompts,
    model: Arc<dyn Model>,
    queue: Queue,
    /// Held by whatever runs, also after its caller has gone.
    threads: Arc<Semaphore>,
}

impl LocalEmbedder {
    /// Reads a model and tries it once, to learn how long its vectors are.
    ///
    /// # Errors
    /// [`ModelError`] if the folder holds no such model, or its vectors are not of the length that
    /// was asked for.
    pub async fn load(settings: LocalSettings) -> Result<Self, ModelError> {
        let LocalSettings {
            kind,
            folder,
            dims: asked,
            timeout,
        } = settings;
        let load = move || {
            let mut folder = Folder::new(&folder);
            let model = kind.read(&mut folder)?;
            let prompts = Prompts::read(&mut folder)?;
            let probe = model.embed(&["probe".to_owned()]);
            let vectors = probe.map_err(ModelError::Broken)?;
            let dims = vectors.first().map_or(0, Vec::len);
            Ok((model, prompts, dims, folder.fingerprint()))
        };
        let loaded = spawn_blocking(load).await;
        let loaded = loaded.map_err(|error| ModelError::Broken(error.to_string()))?;
        let (model, prompts, found, fingerprint) = loaded?;
        if let Some(asked) = asked.filter(|asked| *asked != found) {
            return Err(ModelError::Dims { asked, found });
        }
        if found == 0 {
            return Err(ModelError::Broken("its vectors are empty".to_owned()));
        }
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(MAX_THREADS);
        Ok(Self {
            id: format!("{}:{fingerprint}", kind.name()),
            dims: found,
            prompts,
            model,
            queue: Queue::new(Limits {
                requests: threads,
                texts: BATCH_TEXTS,
                bytes: BATCH_BYTES,
                timeout,
            }),
            threads: Arc::new(Semaphore::new(threads)),
        })
    }

    async fn embed(&self, prompt: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let run = |texts| self.run(texts);
        if prompt.is_empty() {
            return self.queue.embed(texts, run).await;
        }
        let prompted: Vec<_> = texts.iter().map(|text| format!("{prompt}{text}")).collect();
        self.queue.embed(&prompted, run).await
    }

    async fn run(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let refused = |cause: String| EmbedError::Refused(cause);
        let thread = self.threads.clone().acquire_owned().await;
        let thread = thread.map_err(|error| refused(error.to_string()))?;
        let model = self.model.clone();
        let embed = move || {
            let vectors = model.embed(&texts);
            drop(thread);
            let vectors = vectors?;
            // Engines would take them, and rank them at random.
            match vectors.iter().flatten().all(|number| number.is_finite()) {
                true => Ok(vectors),
                false => Err("the model makes vectors of other than finite numbers".to_owned()),
            }
        };
        let embedded = spawn_blocking(embed).await;
        embedded
            .map_err(|error| refused(error.to_string()))?
            .map_err(refused)
    }
}

impl Embedder for LocalEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn embed_documents<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        self.embed(&self.prompts.document, texts).boxed()
    }

    fn embed_queries<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        self.embed(&self.prompts.query, texts).boxed()
    }
}
