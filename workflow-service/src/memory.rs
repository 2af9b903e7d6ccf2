//! Typed client of memory-service, for the tasks of built-in entrypoints.

use std::time::Duration;

use serde_json::value::RawValue;
use service_runtime::{
    Deadline,
    client::{self, ChannelError, ChannelSettings},
};
use tonic::{Code, Status, transport::Channel};
use weft_proto::{
    common::v1::{Payload, PayloadForm, payload::Form},
    memory::v1::{PutItemRequest, SearchItemsRequest, memory_service_client::MemoryServiceClient},
};
use weft_worker::{Failure, Json, json};

/// Largest message taken from memory-service: 64 items of the largest size.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

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

    /// The values under a namespace that match a text, best first.
    ///
    /// # Errors
    /// `MEMORY_UNAVAILABLE`, retryable; `MEMORY_REFUSED`.
    pub async fn search(
        &self,
        namespace: &[String],
        query: &str,
        limit: i32,
    ) -> Result<Vec<Json>, Failure> {
        let request = SearchItemsRequest {
            namespace_prefix: namespace.to_vec(),
            query: query.to_owned(),
            limit,
            payload_form: PayloadForm::Text.into(),
            ..SearchItemsRequest::default()
        };
        let mut client = self.client.clone();
        let response = client
            .search_items(self.request(request))
            .await
            .map_err(failure)?;
        response
            .into_inner()
            .hits
            .into_iter()
            .filter_map(|hit| hit.item?.value?.form)
            .map(|form| match form {
                Form::JsonText(text) => json::from_text(text).map_err(|error| {
                    Failure::new("MEMORY_REFUSED", format!("an item is no JSON: {error}"))
                }),
                Form::Json(_) => Err(Failure::new(
                    "MEMORY_REFUSED",
                    "memory-service did not answer in the form it was asked for",
                )),
            })
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
            value: Some(Payload {
                form: Some(Form::JsonText(value.get().to_owned())),
            }),
            ..PutItemRequest::default()
        };
        let mut client = self.client.clone();
        client
            .put_item(self.request(request))
            .await
            .map(drop)
            .map_err(failure)
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        client::request(message, Deadline::in_(self.timeout))
    }
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
