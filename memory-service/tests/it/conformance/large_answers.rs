//! Answers are bounded: a small call does not have all memory filled with large documents.

use tonic::{Code, Status};
use weft_proto::memory::v1::{self as pb, batch_operation::Operation};

use crate::support::{Calls as _, Client, Running, assert_status, get, put, query, search, text};

/// Documents of 1 MiB: as many as an answer holds, and one more.
const FITTING: usize = 16;

async fn remember_large_documents(client: &mut Client) {
    let frame = r#"{"t":""}"#.len();
    let words = "tea ".repeat(((1 << 20) - frame) / 4);
    for number in 0..=FITTING {
        let value = format!(r#"{{"t":"{words}"}}"#);
        client
            .put(put("a", &format!("{number:02}"), &value))
            .await
            .unwrap();
    }
}

fn assert_too_large(error: &Status) {
    assert_status(error, Code::ResourceExhausted, "ANSWER_TOO_LARGE");
}

fn batch(operations: Vec<Operation>) -> pb::BatchRequest {
    let operations = operations.into_iter().map(|operation| pb::BatchOperation {
        operation: Some(operation),
    });
    pb::BatchRequest {
        operations: operations.collect(),
    }
}

#[tokio::test]
async fn what_does_not_fit_into_one_answer_is_refused_and_can_be_listed() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    remember_large_documents(client).await;
    let limited = |limit, request| pb::SearchItemsRequest { limit, ..request };
    let diverse = |limit| pb::SearchItemsRequest {
        diversity: 0.5,
        ..limited(limit, query("a", "tea"))
    };
    let fitting = i32::try_from(FITTING).unwrap();
    for request in [search("a"), query("a", "tea"), diverse(fitting)] {
        let hits = client
            .hits(limited(fitting, request.clone()))
            .await
            .unwrap();
        assert_eq!(hits.len(), FITTING);
        let error = client.hits(limited(1000, request)).await.unwrap_err();
        assert_too_large(&error);
    }

    let get = |number: usize| Operation::Get(get("a", &format!("{number:02}")));
    let results = client.batch(batch((0..FITTING).map(get).collect())).await;
    assert_eq!(results.unwrap().into_inner().results.len(), FITTING);
    let one_search_more = (0..FITTING)
        .map(get)
        .chain([Operation::Search(limited(1, search("a")))])
        .collect();
    for operations in [(0..=FITTING).map(get).collect(), one_search_more] {
        let error = client.batch(batch(operations)).await.unwrap_err();
        assert_too_large(&error);
    }

    let mut listing = pb::ListItemsRequest {
        page_size: 1000,
        ..Default::default()
    };
    let mut listed = 0;
    loop {
        let page = client
            .list_items(listing.clone())
            .await
            .unwrap()
            .into_inner();
        listed += page.items.len();
        listing.page_token = page.next_page_token;
        if listing.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, FITTING + 1);
}

#[tokio::test]
async fn listings_of_namespaces_share_the_room_of_their_batch() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let namespace = vec!["n".repeat(256); 16];
    let request = pb::PutItemRequest {
        namespace,
        ..put("", "k", "{}")
    };
    client.put(request).await.unwrap();
    // 4 KiB of labels each: 1,000 of ten such namespaces would be 40 MiB.
    for number in 0..9 {
        let mut namespace = vec!["n".repeat(256); 16];
        namespace[15] = number.to_string().repeat(256);
        let request = pb::PutItemRequest {
            namespace,
            ..put("", "k", "{}")
        };
        client.put(request).await.unwrap();
    }
    let listing = || Operation::ListNamespaces(pb::ListNamespacesRequest::default());
    let some = (0..400).map(|_| listing()).collect();
    assert!(client.batch(batch(some)).await.is_ok());
    let many = (0..1000).map(|_| listing()).collect();
    let error = client.batch(batch(many)).await.unwrap_err();
    assert_too_large(&error);
}

#[tokio::test]
async fn documents_that_a_search_looks_at_again_take_their_room_once() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let large = format!(r#"{{"large":true,"t":"{}"}}"#, "tea ".repeat(250_000));
    // One more match is behind so many others that it takes a second look to find it.
    client.put(put("a", "first", &large)).await.unwrap();
    for number in 0..40 {
        let small = put("a", &format!("small-{number}"), r#"{"large":false}"#);
        client.put(small).await.unwrap();
    }
    for number in 0..FITTING / 2 {
        client
            .put(put("a", &number.to_string(), &large))
            .await
            .unwrap();
    }
    let matches = pb::SearchItemsRequest {
        filter: Some(text(r#"{"$not":{"large":false}}"#)),
        limit: i32::try_from(FITTING / 2 + 1).unwrap(),
        ..search("a")
    };
    assert_eq!(client.hits(matches).await.unwrap().len(), FITTING / 2 + 1);
}
