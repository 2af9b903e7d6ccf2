//! Row "get": what is absent is not found.

use tonic::Code;

use crate::support::{Calls as _, Running, assert_status, delete, get, put};

#[tokio::test]
async fn absent_items_are_not_found_and_can_be_deleted() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let error = client.get(get("a", "k")).await.unwrap_err();
    assert_status(&error, Code::NotFound, "ITEM_NOT_FOUND");
    client.delete_item(delete("a", "k")).await.unwrap();

    client.put(put("a", "k", "{}")).await.unwrap();
    client.delete_item(delete("a", "k")).await.unwrap();
    assert!(client.get(get("a", "k")).await.is_err());
    client.delete_item(delete("a", "k")).await.unwrap();
}
