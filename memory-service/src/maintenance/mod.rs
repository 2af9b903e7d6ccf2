//! What is done to data as a whole, by commands of the binary, while no service serves it.
//!
//! # Layout
//! - `line`: records as lines of JSON
//! - `export`, `import`: all data as a file, and back
//! - `check`: whether what is stored is consistent
//! - `soundness`: whether all that is stored of an item follows from its document
//! - `findings`: what is wrong, told one by one
//! - `reindex`: all vectors made anew, by another embedder
//! - `progress`: a bar on a terminal

mod check;
mod export;
mod findings;
mod import;
mod line;
mod progress;
mod reindex;
mod soundness;

use std::{path::PathBuf, sync::Arc};

use clap::Subcommand;
use service_runtime::BoxError;

use crate::{
    config::Config,
    domain::{EmbedderIdentity, IndexIdentity},
    embed::Embedding,
    store::{
        archive::Archive,
        edge::{Begun, EdgeStore, Settings},
        qdrant::{self, QdrantStore},
    },
};

/// Records that are read, or written, at once: with vectors some megabytes.
const AT_ONCE: usize = 256;

/// What to do instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write all data, of all tenants, to a file of JSON lines, vectors and metadata included
    ///
    /// While it is under way the file is called `FILE.part`; one that is there is continued.
    Export {
        /// The file; `-` is standard output
        file: PathBuf,
    },
    /// Read data that `export` wrote; of an item that is there, the later update stays
    ///
    /// To continue one that was stopped or killed, run it again. Lines that are damaged are named and
    /// passed over; then it ends with an error.
    Import {
        /// The file; `-` is standard input
        file: PathBuf,
    },
    /// Check that everything that is stored is whole and found by what it should be found by
    Check,
    /// Make the words and vectors of all items anew, with the embedder and the index paths that
    /// are configured now
    ///
    /// To continue one that was stopped, run it again.
    Reindex,
}

/// Does it. It ends with an error if something could not be done, or was found to be wrong.
///
/// # Errors
/// One sentence.
pub async fn run(command: Command, config: Config) -> Result<(), BoxError> {
    match command {
        Command::Export { file } => export::export(&config, &file).await,
        Command::Import { file } => import::import(&config, &file).await,
        Command::Check => check::check(&config).await,
        Command::Reindex => reindex::reindex(&config).await,
    }
}

/// The store of a configuration as it is, to be read only, and what made its vectors, whatever
/// embedder is configured.
async fn attach(config: &Config) -> Result<(Arc<dyn Archive>, Option<EmbedderIdentity>), BoxError> {
    if let Some(settings) = config.qdrant()? {
        let (store, identity) = QdrantStore::attach(&settings).await?;
        return Ok((Arc::new(store), identity));
    }
    let folder = config.data_dir.join("memory");
    let identity = indexed_with(config).await?.embedder;
    let settings = Settings {
        begun: Begun::Keep,
        optimise_from: 0,
        ..config.edge(identity.clone())
    };
    let store = EdgeStore::open(&folder, settings).await?;
    Ok((Arc::new(store), identity))
}

/// What the data of a configuration is searched by. Opened, data that is not there would be made, and
/// found to be all right.
async fn indexed_with(config: &Config) -> Result<IndexIdentity, BoxError> {
    let index = crate::searched_by(config).await?;
    index.ok_or_else(|| {
        if config.qdrant_url.is_empty() {
            let folder = config.data_dir.display();
            format!("there is no data of a service in `{folder}`; name its folder by `--data-dir`")
                .into()
        } else {
            qdrant::OpenError::Missing(config.qdrant_collection.clone()).into()
        }
    })
}

/// The store of a configuration, to be written, for the vectors of this embedder.
async fn open(
    config: &Config,
    embedder: Option<EmbedderIdentity>,
) -> Result<Arc<dyn Archive>, BoxError> {
    if let Some(settings) = config.qdrant()? {
        let store = QdrantStore::open(&settings, embedder.as_ref()).await?;
        return Ok(Arc::new(store));
    }
    let folder = config.data_dir.join("memory");
    let store = EdgeStore::open(&folder, config.edge(embedder)).await?;
    Ok(Arc::new(store))
}

/// The embedder that is configured.
async fn embedding(config: &Config) -> Result<Option<Embedding>, BoxError> {
    Ok(config.embedding().await?)
}
