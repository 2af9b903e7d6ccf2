//! What memory holds.

use anyhow::{Context as _, Result};
use serde_json::Value;
use tonic::transport::Channel;
use weft_proto::{
    common::v1::PayloadForm,
    memory::v1::{Item, SearchItemsRequest, memory_service_client::MemoryServiceClient},
};

use crate::payload;

/// A client of `MemoryService`.
pub type Memories = MemoryServiceClient<Channel>;

/// All items under a namespace, the last updated first.
///
/// # Errors
/// If they cannot be read.
pub async fn items_under(client: &mut Memories, namespace: &[String]) -> Result<Vec<Item>> {
    let request = SearchItemsRequest {
        namespace_prefix: namespace.to_vec(),
        limit: 1000,
        payload_form: PayloadForm::Text.into(),
        ..SearchItemsRequest::default()
    };
    let hits = client.search_items(request).await?.into_inner().hits;
    hits.into_iter()
        .map(|hit| hit.item.context("a hit without an item"))
        .collect()
}

/// The values of all items under a namespace, the last updated first.
///
/// # Errors
/// If they cannot be read.
pub async fn values_under(client: &mut Memories, namespace: &[String]) -> Result<Vec<Value>> {
    let items = items_under(client, namespace).await?;
    items
        .iter()
        .map(|item| payload::read(item.value.as_ref()))
        .collect()
}
