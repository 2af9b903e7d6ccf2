//! A Qdrant server for tests: the one at `WEFT_TEST_QDRANT_URL`, else a double in this process.
//!
//! `WEFT_TEST_QDRANT_API_KEY` is sent to the former, and `WEFT_TEST_QDRANT_CA_FILE` has the roots that
//! its certificate is checked against besides those of the system. Each test has a collection of its
//! own there, which is dropped in the end, and leaves all others alone.

use std::{num::NonZeroU32, path::PathBuf, sync::Mutex, time::Duration};

use memory_service::{config::Config, store::qdrant::QdrantSettings};
use qdrant_client::qdrant::{
    CollectionConfig, DeleteCollection, GetCollectionInfoRequest,
    collections_client::CollectionsClient, points_client::PointsClient,
    vectors_config::Config as DenseVectors,
};
use qdrant_double::{Running, Settings};
use serde::{
    Deserialize as _,
    de::{IntoDeserializer as _, value::Error},
};
use service_runtime::{
    Secret,
    client::{ChannelSettings, connect_lazy_trusting},
};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use uuid::Uuid;

/// How long one call to it may take: tests go on beside each other, also on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A channel without anything of ours in between but the API key.
pub(crate) type Authorized = InterceptedService<Channel, Key>;

/// Sends the API key along, if there is one.
#[derive(Clone)]
pub(crate) struct Key(Option<MetadataValue<Ascii>>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("api-key", key.clone());
        }
        Ok(request)
    }
}

/// A server, and a collection on it that is this test's own.
pub(crate) struct QdrantServer {
    pub(crate) url: String,
    pub(crate) collection: String,
    double: Option<Double>,
}

/// A double, up or down, and the folder that outlives it.
struct Double {
    settings: Settings,
    running: Mutex<Option<Running>>,
    _folder: TempDir,
}

impl QdrantServer {
    /// The server that tests are to use.
    pub(crate) fn start() -> Self {
        match std::env::var("WEFT_TEST_QDRANT_URL") {
            Ok(url) if !url.is_empty() => Self::of(url, None),
            _ => Self::double(|_| {}),
        }
    }

    /// A double, whatever server there is: for what a test does to the server itself.
    pub(crate) fn double(configure: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::over(folder.path());
        configure(&mut settings);
        let running = Running::start(settings.clone()).unwrap();
        settings.port = running.address().port();
        let scheme = if settings.tls_key.is_some() {
            "https"
        } else {
            "http"
        };
        let url = format!("{scheme}://{}", running.address());
        let double = Double {
            settings,
            running: Mutex::new(Some(running)),
            _folder: folder,
        };
        Self::of(url, Some(double))
    }

    fn of(url: String, double: Option<Double>) -> Self {
        Self {
            url,
            collection: format!("weft-test-{}", Uuid::now_v7()),
            double,
        }
    }

    /// Cuts all connections and stops serving.
    pub(crate) async fn stop(&self) {
        let running = self.double.as_ref().unwrap().running.lock().unwrap().take();
        running.unwrap().stop().await;
    }

    /// Serves again, at the same port, what was there.
    pub(crate) fn start_again(&self) {
        let double = self.double.as_ref().unwrap();
        let running = Running::start(double.settings.clone()).unwrap();
        *double.running.lock().unwrap() = Some(running);
    }

    /// Lets a service keep its items here.
    pub(crate) fn configure(&self, config: &mut Config) {
        let settings = self.settings();
        config.qdrant_url = settings.url;
        config.qdrant_api_key = settings.api_key;
        config.qdrant_ca_file = self.ca_file().unwrap_or_default();
        config.qdrant_timeout = settings.timeout;
        config.qdrant_collection = settings.collection;
        // Every call becomes several, between processes or threads: on a loaded machine those that
        // walk through thousands of items take their time.
        config.server.default_deadline = config.server.max_deadline;
    }

    /// Its collections, as they are.
    pub(crate) fn collections(&self) -> CollectionsClient<Authorized> {
        CollectionsClient::new(channel(&self.settings()))
    }

    /// Its points, as they are.
    pub(crate) fn points(&self) -> PointsClient<Authorized> {
        PointsClient::new(channel(&self.settings()))
    }

    /// How the collection is made.
    pub(crate) async fn config(&self) -> CollectionConfig {
        let request = GetCollectionInfoRequest {
            collection_name: self.collection.clone(),
        };
        let info = self.collections().get(request).await.unwrap().into_inner();
        info.result.unwrap().config.unwrap()
    }

    /// The names of the vectors that points of the collection may have.
    pub(crate) async fn vectors(&self) -> Vec<String> {
        let params = self.config().await.params.unwrap();
        let sparse = params.sparse_vectors_config.unwrap().map.into_keys();
        let Some(DenseVectors::ParamsMap(dense)) = params.vectors_config.unwrap().config else {
            return sparse.collect();
        };
        sparse.chain(dense.map.into_keys()).collect()
    }

    /// Lets the binary keep its items here.
    pub(crate) fn name(&self, process: &mut Command) {
        let settings = self.settings();
        process.args(["--qdrant-url", &settings.url]);
        process.env("WEFT_QDRANT_COLLECTION", &settings.collection);
        process.env("WEFT_QDRANT_TIMEOUT", format!("{}s", PATIENCE.as_secs()));
        if let Some(key) = settings.api_key {
            process.env("WEFT_QDRANT_API_KEY", key.expose());
        }
        if let Some(file) = self.ca_file() {
            process.env("WEFT_QDRANT_CA_FILE", file);
        }
    }

    /// The file of roots that its certificate is checked against, if it is not a double.
    fn ca_file(&self) -> Option<PathBuf> {
        let file = std::env::var_os("WEFT_TEST_QDRANT_CA_FILE").map(PathBuf::from);
        file.filter(|_| self.double.is_none())
    }

    pub(crate) fn settings(&self) -> QdrantSettings {
        let key = std::env::var("WEFT_TEST_QDRANT_API_KEY").ok();
        QdrantSettings {
            url: self.url.clone(),
            api_key: key.filter(|_| self.double.is_none()).as_deref().map(secret),
            roots: self.ca_file().map(|file| std::fs::read(file).unwrap()),
            collection: self.collection.clone(),
            timeout: PATIENCE,
            // As services ask for: shards count by themselves how rare words are.
            shards: Some(NonZeroU32::MIN),
            replication_factor: None,
            write_consistency_factor: None,
            read_consistency: None,
        }
    }
}

fn channel(settings: &QdrantSettings) -> Authorized {
    let roots = settings.roots.as_deref();
    let patient = ChannelSettings {
        call_timeout: settings.timeout,
        ..ChannelSettings::default()
    };
    let channel = connect_lazy_trusting(&settings.url, roots, &patient);
    let key = settings.api_key.as_ref();
    let key = key.map(|key| key.expose().parse().unwrap());
    InterceptedService::new(channel.unwrap(), Key(key))
}

pub(crate) fn secret(text: &str) -> Secret {
    let read: Result<_, Error> = Secret::deserialize(text.into_deserializer());
    read.unwrap()
}

impl Drop for QdrantServer {
    /// Leaves nothing behind on a server that is not ours.
    fn drop(&mut self) {
        if self.double.is_some() {
            return;
        }
        let settings = self.settings();
        let forget = async move {
            let mut collections = CollectionsClient::new(channel(&settings));
            // A test that failed says why by itself.
            let request = DeleteCollection {
                collection_name: settings.collection,
                timeout: None,
            };
            let _ = collections.delete(request).await;
        };
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
        };
        let _ = std::thread::spawn(move || runtime().unwrap().block_on(forget)).join();
    }
}
