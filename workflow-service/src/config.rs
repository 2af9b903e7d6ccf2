//! Configuration of the service: one struct, a default for every key.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Parser;
use serde::{Deserialize, Deserializer, Serialize, de};
use service_runtime::{
    CommonArgs, ServerSettings,
    config::{BadUrl, check_url, human},
};

use crate::{
    engine::Retention,
    llm::{ModelName, echo, settings::Providers},
};

/// Runs durable entrypoints, and calls memory-service and language models for them.
#[derive(Debug, Parser, Serialize)]
#[command(name = "workflow-service", version)]
pub struct Args {
    /// Flags of both services.
    #[command(flatten)]
    #[serde(flatten)]
    pub common: CommonArgs,

    /// Reach memory-service at this URL, http:// or https://
    #[arg(long, value_name = "URL")]
    pub memory_url: Option<String>,

    /// Use this model for runs that name none, as provider:model
    #[arg(long, value_name = "MODEL")]
    pub default_model: Option<String>,
}

/// Config of workflow-service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of gRPC. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address of /metrics, /livez and /readyz.
    pub admin_listen: SocketAddr,
    /// Folder for data; the service's own is `workflow` in it.
    pub data_dir: PathBuf,
    /// What is logged.
    pub log: String,
    /// Where memory-service is.
    #[serde(deserialize_with = "url")]
    pub memory_url: String,
    /// Longest a call to memory-service takes before the task tries again.
    #[serde(with = "human::duration")]
    pub memory_timeout: Duration,
    /// Model of runs that name none.
    pub default_model: ModelName,
    /// Who serves models, by name.
    pub providers: Providers,
    /// Most runs under way at once; further ones are queued.
    pub max_runs: usize,
    /// How long the code of a run has to stop after a cancel, before it is stopped.
    #[serde(with = "human::duration")]
    pub cancel_grace: Duration,
    /// Longest time to execute of runs that name none; zero for no bound.
    #[serde(with = "human::duration")]
    pub default_timeout: Duration,
    /// How long threads on which nothing happens are kept; zero is for ever.
    #[serde(with = "human::duration")]
    pub thread_ttl: Duration,
    /// How long finished runs are kept, with their journals; zero is for ever.
    #[serde(with = "human::duration")]
    pub run_ttl: Duration,
    /// How long the journals of runs that succeeded are kept; zero is for ever.
    #[serde(with = "human::duration")]
    pub journal_ttl: Duration,
    /// How long a worker may be silent before its runs go to others. It is asked three times as
    /// often.
    #[serde(with = "human::duration")]
    pub worker_lease: Duration,
    /// How long a worker has to come back after its connection was lost, before its runs go to
    /// others.
    #[serde(with = "human::duration")]
    pub worker_grace: Duration,
    /// How long a call of a task waits while no worker offers it.
    #[serde(with = "human::duration")]
    pub task_wait: Duration,
    /// How gRPC is served.
    pub server: ServerSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 50052).into(),
            admin_listen: (Ipv4Addr::LOCALHOST, 9092).into(),
            data_dir: "data".into(),
            log: "info".into(),
            memory_url: "http://127.0.0.1:50051".into(),
            memory_timeout: Duration::from_secs(5),
            default_model: ModelName {
                provider: echo::PROVIDER.into(),
                model: echo::MODEL.into(),
            },
            providers: Providers::new(),
            max_runs: 10_000,
            cancel_grace: Duration::from_secs(10),
            default_timeout: Duration::ZERO,
            thread_ttl: Duration::ZERO,
            run_ttl: Duration::ZERO,
            journal_ttl: Duration::ZERO,
            worker_lease: Duration::from_secs(15),
            worker_grace: Duration::from_secs(2),
            task_wait: Duration::from_secs(60),
            server: ServerSettings::default(),
        }
    }
}

impl Config {
    /// How long things are kept.
    pub(crate) fn retention(&self) -> Retention {
        let kept = |ttl: Duration| (!ttl.is_zero()).then_some(ttl);
        Retention {
            threads: kept(self.thread_ttl),
            runs: kept(self.run_ttl),
            journals: kept(self.journal_ttl),
        }
    }
}

/// A URL, or `host:port` as clients take it, for a URL without TLS.
fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let url = if text.contains("://") {
        text.clone()
    } else {
        format!("http://{text}")
    };
    match check_url(&url) {
        Ok(()) => Ok(url),
        Err(BadUrl::MayHoldSecret) => Err(de::Error::custom(BadUrl::MayHoldSecret)),
        Err(BadUrl::NotOne) => Err(de::Error::custom(format!(
            "`{text}` is no address of a service; it must be like http://127.0.0.1:50051"
        ))),
    }
}
