//! A Qdrant server for tests: the one at `WEFT_TEST_QDRANT_URL`, else a double in this process.

use std::{sync::Mutex, time::Duration};

use memory_service::{config::Config, store::qdrant::QdrantSettings};
use qdrant_client::qdrant::{
    CollectionConfig, DeleteCollection, GetCollectionInfoRequest,
    collections_client::CollectionsClient, vectors_config::Config as DenseVectors,
};
use qdrant_double::{Running, Settings};
use serde::{
    Deserialize as _,
    de::{IntoDeserializer as _, value::Error},
};
use service_runtime::Secret;
use tempfile::TempDir;
use tonic::transport::Endpoint;
use uuid::Uuid;

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
        config.qdrant_collection = settings.collection;
        // Every call becomes several, between processes or threads: on a loaded machine those that
        // walk through thousands of items take their time.
        config.server.default_deadline = config.server.max_deadline;
    }

    /// How the collection is made.
    pub(crate) async fn config(&self) -> CollectionConfig {
        let settings = self.settings();
        let endpoint = Endpoint::from_shared(settings.url).unwrap();
        let mut request = tonic::Request::new(GetCollectionInfoRequest {
            collection_name: settings.collection,
        });
        if let Some(key) = settings.api_key {
            let key = key.expose().parse().unwrap();
            request.metadata_mut().insert("api-key", key);
        }
        let mut collections = CollectionsClient::new(endpoint.connect_lazy());
        let info = collections.get(request).await.unwrap().into_inner();
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

    pub(crate) fn settings(&self) -> QdrantSettings {
        let key = std::env::var("WEFT_TEST_QDRANT_API_KEY").ok();
        QdrantSettings {
            url: self.url.clone(),
            api_key: key.filter(|_| self.double.is_none()).as_deref().map(secret),
            roots: None,
            collection: self.collection.clone(),
            timeout: Duration::from_secs(10),
            shards: None,
            replication_factor: None,
            write_consistency_factor: None,
            read_consistency: None,
        }
    }
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
            let endpoint = Endpoint::from_shared(settings.url).unwrap();
            let mut request = tonic::Request::new(DeleteCollection {
                collection_name: settings.collection,
                timeout: None,
            });
            if let Some(key) = settings.api_key {
                let key = key.expose().parse().unwrap();
                request.metadata_mut().insert("api-key", key);
            }
            let mut collections = CollectionsClient::new(endpoint.connect_lazy());
            // A test that failed says why by itself.
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
