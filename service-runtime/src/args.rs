//! The flags that both binaries have.

use std::{net::SocketAddr, path::PathBuf};

use serde::Serialize;

/// Flags of every service, to be flattened into its own.
///
/// Serializes as the configuration keys that were given; flags that act on the
/// process itself (`--config`, `--check-config`, `--dump-config`) are no keys.
#[derive(Clone, Debug, Default, clap::Args, Serialize)]
pub struct CommonArgs {
    /// Read configuration from this TOML file; WEFT_CONFIG names one too
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Serve gRPC on this address; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// Serve /metrics, /livez and /readyz on this address
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,

    /// Keep data in this folder
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// Log what passes this filter, e.g. `info` or `warn,memory_service=debug`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,

    /// Check the configuration and exit
    #[arg(long)]
    #[serde(skip)]
    pub check_config: bool,

    /// Print the configuration as TOML, secrets redacted, and exit
    #[arg(long)]
    #[serde(skip)]
    pub dump_config: bool,
}
