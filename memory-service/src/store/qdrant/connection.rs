//! The way to a Qdrant server.
//!
//! These are the clients of qdrant-client, on a channel of our own: it trusts other roots if told
//! to, and nothing repeats a write behind our back. Every call has a bound.

use std::{future::Future, time::Duration};

use qdrant_client::qdrant::{
    ReadConsistency, UpdateResult, UpdateStatus, WriteOrdering, WriteOrderingType,
    collections_client::CollectionsClient, points_client::PointsClient,
    qdrant_client::QdrantClient,
};
use service_runtime::client::{ChannelError, ChannelSettings, clarify, connect_lazy_trusting};
use tokio::time::timeout;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use super::{indexes::Indexing, settings::QdrantSettings};
use crate::store::StoreError;

/// Largest answer: some hundred items of 1 MiB each, as many as a search loads at once.
const MAX_ANSWER_BYTES: usize = 512 << 20;

/// A channel that sends the API key along.
pub(super) type Authorized = InterceptedService<Channel, ApiKey>;

/// The way to a server and to our collection on it.
pub(super) struct Connection {
    url: String,
    channel: Authorized,
    pub(super) collection: String,
    /// What is known of the collection's indexes.
    pub(super) indexing: Indexing,
    /// How long one call may take.
    pub(super) timeout: Duration,
    read_consistency: Option<ReadConsistency>,
}

/// Sends the API key along, if there is one.
#[derive(Clone)]
pub(super) struct ApiKey(Option<MetadataValue<Ascii>>);

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("api-key", key.clone());
        }
        Ok(request)
    }
}

/// Why a server cannot be reached at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its URL is none, or TLS cannot be set up.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The API key is not one that can be sent.
    #[error("the API key has characters other than visible ASCII")]
    ApiKey,
}

impl Connection {
    /// Connects when it is first used, and again when the connection was lost.
    pub(super) fn new(settings: &QdrantSettings, indexing: Indexing) -> Result<Self, ConnectError> {
        let channel = connect_lazy_trusting(
            &settings.url,
            settings.roots.as_deref(),
            &ChannelSettings {
                call_timeout: settings.timeout,
                ..ChannelSettings::default()
            },
        )?;
        let key = match &settings.api_key {
            Some(key) => {
                let key = MetadataValue::try_from(key.expose());
                let mut key = key.map_err(|_| ConnectError::ApiKey)?;
                key.set_sensitive(true);
                Some(key)
            }
            None => None,
        };
        Ok(Self {
            url: settings.url.clone(),
            channel: InterceptedService::new(channel, ApiKey(key)),
            collection: settings.collection.clone(),
            indexing,
            timeout: settings.timeout,
            read_consistency: settings.read_consistency.map(|asked| asked.on_the_wire()),
        })
    }

    /// The server as such.
    pub(super) fn server(&self) -> QdrantClient<Authorized> {
        QdrantClient::new(self.channel.clone())
    }

    /// Its collections.
    pub(super) fn collections(&self) -> CollectionsClient<Authorized> {
        CollectionsClient::new(self.channel.clone())
    }

    /// Their points.
    pub(super) fn points(&self) -> PointsClient<Authorized> {
        PointsClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// How many copies a read asks.
    pub(super) fn read_consistency(&self) -> Option<ReadConsistency> {
        self.read_consistency
    }

    /// Waits for an answer, but not for long.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, StoreError> {
        let answer = self.outcome(call).await;
        answer.map_err(|status| self.fault(&status))
    }

    /// As [`answer`](Self::answer), for calls whose refusals mean something.
    pub(super) async fn outcome<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Status> {
        match timeout(self.timeout, call).await {
            Ok(answer) => answer.map(Response::into_inner).map_err(clarify),
            Err(_) => Err(Status::deadline_exceeded("Qdrant did not answer in time")),
        }
    }

    /// A refusal of the server. Whether a later call may succeed depends on whose fault it is.
    pub(super) fn fault(&self, status: &Status) -> StoreError {
        let told = format!(
            "Qdrant at `{}`: {:?}: {}",
            self.url,
            status.code(),
            status.message()
        );
        match status.code() {
            Code::DataLoss => StoreError::Corrupt(told),
            Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented | Code::Ok => {
                StoreError::Internal(told)
            }
            // Qdrant says INTERNAL of full disks and of shards that are away, too, and NOT_FOUND of a
            // collection that somebody dropped: an operator can mend these without a restart of ours.
            Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::Unauthenticated => StoreError::Unavailable(told),
        }
    }
}

/// Checks that a write that was taken has also been done: a server that is asked to wait may give up
/// waiting.
pub(super) fn done<'a>(
    results: impl IntoIterator<Item = &'a UpdateResult>,
) -> Result<(), StoreError> {
    let mut results = results.into_iter();
    match results.find(|result| result.status() != UpdateStatus::Completed) {
        None => Ok(()),
        Some(result) => {
            let status = result.status().as_str_name();
            let cause = format!("Qdrant took a write, but it is `{status}`");
            Err(StoreError::Unavailable(cause))
        }
    }
}

/// Writes are seen in one order by all.
pub(super) fn strong() -> Option<WriteOrdering> {
    Some(WriteOrdering {
        r#type: WriteOrderingType::Strong.into(),
    })
}
