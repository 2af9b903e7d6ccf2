//! Flags.

use std::path::PathBuf;

use clap::Parser;
use serde::Serialize;
use service_runtime::CommonArgs;

use crate::maintenance;

/// Namespaced, searchable memory for agents, over gRPC.
#[derive(Clone, Debug, Parser, Serialize)]
#[command(name = "memory-service", version)]
pub struct Args {
    /// What to do instead of serving.
    #[command(subcommand)]
    #[serde(skip)]
    pub command: Option<maintenance::Command>,

    /// Flags of every service.
    #[command(flatten)]
    #[serde(flatten)]
    pub common: CommonArgs,

    /// Keep items in the Qdrant server at this URL instead of the embedded engine
    #[arg(long, value_name = "URL")]
    pub qdrant_url: Option<String>,

    /// File that holds the API key of the Qdrant server, if not `WEFT_QDRANT_API_KEY` does
    #[arg(long, value_name = "FILE")]
    pub qdrant_api_key_file: Option<PathBuf>,

    /// Check the Qdrant server's certificate against the roots in this PEM file, too
    #[arg(long, value_name = "FILE")]
    pub qdrant_ca_file: Option<PathBuf>,

    /// Collection of the Qdrant server to keep items in
    #[arg(long, value_name = "NAME")]
    pub qdrant_collection: Option<String>,

    /// Embed texts for search by meaning: `none` for search by words only, `static:DIR` for a
    /// model2vec model, `bert:DIR` for a sentence-transformers model, or `http:BASE_URL` for an
    /// OpenAI-compatible server, e.g. `http:http://localhost:11434`. Its key is read from
    /// `WEFT_EMBEDDING_API_KEY` or `--embedding-api-key-file`
    #[arg(long, value_name = "EMBEDDER")]
    pub embedder: Option<String>,

    /// Model of an `http:` embedder
    #[arg(long, value_name = "NAME")]
    pub embedding_model: Option<String>,

    /// Insist on vectors of this length; 0 is for what the model makes
    #[arg(long, value_name = "N")]
    pub embedding_dims: Option<usize>,

    /// What is embedded of an item, e.g. `{namespace} {key} {text}`
    #[arg(long, value_name = "TEMPLATE")]
    pub embedding_template: Option<String>,

    /// How long embedding may take, all tries together
    #[arg(long, value_name = "DURATION")]
    pub embedding_timeout: Option<String>,

    /// File that holds the embedder's API key
    #[arg(long, value_name = "FILE")]
    pub embedding_api_key_file: Option<PathBuf>,

    /// The embedder before this one, if the data may still belong to it: everything is embedded anew
    /// while it is served. The other `--former-` flags say what the flags of their names said then
    #[arg(long, value_name = "EMBEDDER")]
    pub former_embedder: Option<String>,

    /// Its model
    #[arg(long, value_name = "NAME")]
    pub former_embedding_model: Option<String>,

    /// The length of its vectors that was insisted on
    #[arg(long, value_name = "N")]
    pub former_embedding_dims: Option<usize>,

    /// What it embedded of an item
    #[arg(long, value_name = "TEMPLATE")]
    pub former_embedding_template: Option<String>,

    /// File that holds its API key
    #[arg(long, value_name = "FILE")]
    pub former_embedding_api_key_file: Option<PathBuf>,

    /// The paths that were indexed
    #[arg(long, value_name = "PATHS")]
    pub former_index_paths: Vec<String>,

    /// How hybrid search makes one score of two: `weighted`, `rrf` or `dbsf`
    #[arg(long, value_name = "METHOD")]
    pub hybrid_fusion: Option<String>,

    /// How much meaning counts in hybrid search, from 0 to 1; words count the rest
    #[arg(long, allow_negative_numbers = true, value_name = "WEIGHT")]
    pub hybrid_semantic_weight: Option<f64>,

    /// The BM25 score that counts half in a weighted sum
    #[arg(long, allow_negative_numbers = true, value_name = "SCORE")]
    pub hybrid_saturation: Option<f64>,

    /// The constant of `rrf`: the greater it is, the less first places stand out
    #[arg(long, allow_negative_numbers = true, value_name = "K")]
    pub hybrid_rrf_k: Option<f64>,

    /// When writes are on the disk: `always` before they are acknowledged, `interval` soon after
    #[arg(long, value_name = "WHEN")]
    pub sync: Option<String>,

    /// How soon that is, with `--sync interval`
    #[arg(long, value_name = "DURATION")]
    pub sync_interval: Option<String>,

    /// Refuse puts when the disk has fewer bytes left than this
    #[arg(long, value_name = "BYTES")]
    pub min_free_disk: Option<u64>,

    /// Let removed items give their room back in the background once there are this many items,
    /// removed ones included; 0 is never
    #[arg(long, value_name = "ITEMS")]
    pub optimise_from: Option<u64>,

    /// Index the texts at these paths, e.g. `text,notes[*].body`; `$` is the whole document
    #[arg(long, value_name = "PATHS")]
    pub index_paths: Vec<String>,

    /// Let items expire after this, e.g. `30days`, unless their put says otherwise; `0s` is never
    #[arg(long, value_name = "DURATION")]
    pub default_ttl: Option<String>,

    /// Restart the lifetimes of items whenever they are read, unless the read says otherwise
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub refresh_ttl_on_read: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_below_zero_is_taken_for_a_number_so_that_it_can_be_refused_as_one() {
        for flag in [
            "--hybrid-semantic-weight",
            "--hybrid-saturation",
            "--hybrid-rrf-k",
        ] {
            assert!(Args::try_parse_from(["memory-service", flag, "-1"]).is_ok());
        }
    }
}
