//! Row "get": what is absent is not found.

use tonic::Code;

use super::calls::{By, Calls as _};
use crate::support::{Running, assert_status, delete, get, put};

#[tokio::test]
async fn absent_items_are_not_found_and_can_be_deleted() {
    for by in By::ALL {
        let mut running = Running::start().await;
        let client = &mut running.client;
        let error = client.get(get("a", "k")).await.unwrap_err();
        assert_status(&error, Code::NotFound, "ITEM_NOT_FOUND");
        assert!(error.message().contains("`k`") && error.message().contains("`a`"));
        by.delete(client, delete("a", "k")).await;

        by.put(client, put("a", "k", "{}")).await;
        client.get(get("a", "k")).await.unwrap();
        by.delete(client, delete("a", "k")).await;
        let error = client.get(get("a", "k")).await.unwrap_err();
        assert_status(&error, Code::NotFound, "ITEM_NOT_FOUND");
        by.delete(client, delete("a", "k")).await;
    }
}
