//! What the double pretends to be.

use std::path::{Path, PathBuf};

use clap::Parser;

/// A stand-in for a Qdrant server, for tests.
#[derive(Clone, Debug, Parser)]
#[command(name = "qdrant-double")]
pub struct Settings {
    /// Keep collections in this folder
    #[arg(long, value_name = "FOLDER")]
    pub folder: PathBuf,

    /// Serve gRPC on this port of the loopback interface; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,

    /// Ask callers for this API key
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,

    /// Serve TLS with this certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,

    /// The key of the certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,

    /// Say that this is the server's version
    #[arg(long, value_name = "VERSION", default_value = "1.19.0")]
    pub version: String,

    /// Refuse reads that do not say how many copies to ask, and writes that do not wait or are not
    /// ordered: what a cluster forgives, and makes up for by stale answers
    #[arg(long)]
    pub insist: bool,

    /// Answer calls that add or remove vectors as a server does that has given up waiting until they
    /// are done
    #[arg(long)]
    pub slow_vectors: bool,

    /// Do not make a collection when it is asked for the first time, and answer the first calls for it
    /// as a cluster does that does not agree yet, and whose copies are not ready
    #[arg(long)]
    pub slow_copies: bool,
}

impl Settings {
    /// A server without a key and without TLS, at a free port.
    #[must_use]
    pub fn over(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            port: 0,
            api_key: None,
            tls_certificate: None,
            tls_key: None,
            version: "1.19.0".to_owned(),
            insist: false,
            slow_vectors: false,
            slow_copies: false,
        }
    }
}
