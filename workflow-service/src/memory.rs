//! Typed client of memory-service, for the tasks of built-in entrypoints.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use service_runtime::{
    Deadline,
    client::{self, ChannelError, ChannelSettings},
};
use tonic::{Code, Status, transport::Channel};
use weft_proto::{
    common::v1::{Payload, PayloadForm, payload::Form},
    memory::v1::{
        DeleteItemRequest, GetItemRequest, Item, PutItemRequest, Ranking, SearchItemsRequest,
        memory_service_client::MemoryServiceClient,
    },
};
use weft_worker::{Failure, Json, json};

/// Largest message taken from memory-service: 64 items of the largest size.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// MemoryQuery says what to look for.
#[derive(Clone, Debug, Default)]
pub struct MemoryQuery {
    /// Text to rank against; empty for what was updated last.
    pub text: String,
    /// Condition on the values, a JSON object.
    pub filter: Option<Json>,
    /// Most items; 0 for 10.
    pub limit: i32,
    /// Skip this many of the best.
    pub offset: i32,
    /// Leave out what scores less.
    pub min_score: Option<f64>,
    /// How to rank.
    pub ranking: Ranking,
}

/// FoundItem is an item that was found.
#[derive(Clone, Debug, Serialize)]
pub struct FoundItem {
    /// Where it is.
    pub namespace: Vec<String>,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Json,
    /// How well it matches, if anything was ranked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// MemoryClient reaches memory-service. It connects when it is first used and again after every
/// loss. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryClient {
    client: MemoryServiceClient<Channel>,
    timeout: Duration,
}

impl MemoryClient {
    /// A client of the service at `url`, whose calls take `timeout` at most.
    ///
    /// # Errors
    /// [`ChannelError`] if the URL is none.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, ChannelError> {
        let channel = client::connect_lazy(url, &ChannelSettings::default())?;
        let client = MemoryServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { client, timeout })
    }

    /// The item with this key.
    ///
    /// # Errors
    /// `MEMORY_UNAVAILABLE`, retryable; `MEMORY_REFUSED`.
    pub async fn get(&self, namespace: &[String], key: &str) -> Result<Option<FoundItem>, Failure> {
        let request = GetItemRequest {
            namespace: namespace.to_vec(),
            key: key.to_owned(),
            payload_form: PayloadForm::Text.into(),
            ..GetItemRequest::default()
        };
        let mut client = self.client.clone();
        match client.get_item(self.request(request)).await {
            Ok(response) => response
                .into_inner()
                .item
                .map(|item| found(item, None))
                .transpose(),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(failure(status)),
        }
    }

    /// The items under a namespace that match a query, best first.
    ///
    /// # Errors
    /// `MEMORY_UNAVAILABLE`, retryable; `MEMORY_REFUSED`.
    pub async fn search(
        &self,
        namespace: &[String],
        query: MemoryQuery,
    ) -> Result<Vec<FoundItem>, Failure> {
        let request = SearchItemsRequest {
            namespace_prefix: namespace.to_vec(),
            query: query.text,
            filter: query.filter.as_deref().map(payload),
            limit: query.limit,
            offset: query.offset,
            min_score: query.min_score,
            ranking: query.ranking.into(),
            payload_form: PayloadForm::Text.into(),
            ..SearchItemsRequest::default()
        };
        let mut client = self.client.clone();
        let response = client
            .search_items(self.request(request))
            .await
            .map_err(failure)?;
        let hits = response.into_inner().hits.into_iter();
        hits.filter_map(|hit| Some(found(hit.item?, hit.score)))
            .collect()
    }

    /// Creates or replaces an item.
    ///
    /// # Errors
    /// `MEMORY_UNAVAILABLE`, retryable; `MEMORY_REFUSED`.
    pub async fn put(
        &self,
        namespace: &[String],
        key: &str,
        value: &RawValue,
    ) -> Result<(), Failure> {
        let request = PutItemRequest {
            namespace: namespace.to_vec(),
            key: key.to_owned(),
            value: Some(payload(value)),
            ..PutItemRequest::default()
        };
        let mut client = self.client.clone();
        client
            .put_item(self.request(request))
            .await
            .map(drop)
            .map_err(failure)
    }

    /// Removes an item; one that is not there is gone already.
    ///
    /// # Errors
    /// `MEMORY_UNAVAILABLE`, retryable; `MEMORY_REFUSED`.
    pub async fn delete(&self, namespace: &[String], key: &str) -> Result<(), Failure> {
        let request = DeleteItemRequest {
            namespace: namespace.to_vec(),
            key: key.to_owned(),
            ..DeleteItemRequest::default()
        };
        let mut client = self.client.clone();
        match client.delete_item(self.request(request)).await {
            Err(status) if status.code() == Code::NotFound => Ok(()),
            done => done.map(drop).map_err(failure),
        }
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        client::request(message, Deadline::in_(self.timeout))
    }
}

fn payload(value: &RawValue) -> Payload {
    Payload {
        form: Some(Form::JsonText(value.get().to_owned())),
    }
}

/// An item as memory-service answers with it, in the form it was asked for.
fn found(item: Item, score: Option<f64>) -> Result<FoundItem, Failure> {
    let refused = |what: String| Failure::new("MEMORY_REFUSED", what);
    let Some(Form::JsonText(text)) = item.value.and_then(|value| value.form) else {
        let what = "memory-service did not answer in the form it was asked for";
        return Err(refused(what.to_owned()));
    };
    let value =
        json::from_text(text).map_err(|error| refused(format!("an item is no JSON: {error}")))?;
    Ok(FoundItem {
        namespace: item.namespace,
        key: item.key,
        value,
        score,
    })
}

/// What a refused or failed call means to a task.
fn failure(status: Status) -> Failure {
    let status = client::clarify(status);
    let text = format!("memory-service: {}", status.message());
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unknown
        | Code::Internal => Failure::transient("MEMORY_UNAVAILABLE", text),
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => Failure::new("MEMORY_REFUSED", text),
    }
    .with("code", format!("{:?}", status.code()))
}
