//! ListItems: whole walks, page by page, and the tokens that lead through them.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use weft_proto::{common::v1::PayloadForm, memory::v1 as pb};

use crate::support::{
    Calls as _, Client, Running, assert_status, delete, labels, put, text, value,
};

pub(super) fn list(prefix: &str, page_size: i32) -> pb::ListItemsRequest {
    pb::ListItemsRequest {
        namespace_prefix: labels(prefix),
        page_size,
        payload_form: PayloadForm::Text.into(),
        ..Default::default()
    }
}

pub(super) async fn page(
    client: &mut Client,
    request: &pb::ListItemsRequest,
    page_token: &str,
) -> Result<(Vec<pb::Item>, String), Status> {
    let request = pb::ListItemsRequest {
        page_token: page_token.to_owned(),
        ..request.clone()
    };
    let response = client.list_items(request).await?.into_inner();
    Ok((response.items, response.next_page_token))
}

/// The pages of a walk, each with the names of its items.
pub(super) async fn walk(client: &mut Client, request: &pb::ListItemsRequest) -> Vec<Vec<String>> {
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let (items, next) = page(client, request, &token).await.unwrap();
        let name = |item: &pb::Item| format!("{}/{}", item.namespace.join("."), item.key);
        pages.push(items.iter().map(name).collect());
        if next.is_empty() {
            return pages;
        }
        token = next;
    }
}

async fn fill(client: &mut Client, names: impl Iterator<Item = (String, String, String)>) {
    let operations: Vec<_> = names
        .map(|(namespace, key, value)| pb::BatchOperation {
            operation: Some(pb::batch_operation::Operation::Put(put(
                &namespace, &key, &value,
            ))),
        })
        .collect();
    for operations in operations.chunks(1000) {
        let operations = operations.to_vec();
        client.batch(pb::BatchRequest { operations }).await.unwrap();
    }
}

#[tokio::test]
async fn a_walk_goes_through_namespaces_and_keys_in_order() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (namespace, key) in [
        ("b", "1"),
        ("a.b", "2"),
        ("a", "2"),
        ("a", "10"),
        ("ab", "1"),
    ] {
        client.put(put(namespace, key, "{}")).await.unwrap();
    }
    let all = ["a/10", "a/2", "a.b/2", "ab/1", "b/1"];
    assert_eq!(walk(client, &list("", 0)).await, [all.to_vec()]);
    assert_eq!(walk(client, &list("", 5)).await, [all.to_vec()]);
    assert_eq!(walk(client, &list("", 1)).await, all.map(|name| [name]));
    assert_eq!(walk(client, &list("a", 2)).await, [&all[..2], &all[2..3]]);
    assert!(walk(client, &list("none", 2)).await[0].is_empty());
    let (items, _) = page(client, &list("ab", 0), "").await.unwrap();
    assert_eq!(value(&items[0]), "{}");
    assert!(items[0].create_time.is_some() && !items[0].etag.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_full_and_walks_whole_with_10_000_items() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let item = |index: usize| {
        let value = format!(r#"{{"n":{index},"rare":{}}}"#, index % 1000 == 7);
        (format!("a.{:02}", index % 50), format!("{index:05}"), value)
    };
    fill(client, (0..10_000).map(item)).await;
    let pages = walk(client, &list("", 1000)).await;
    assert!(pages.len() == 10 && pages.iter().all(|page| page.len() == 1000));
    let names: Vec<_> = pages.concat();
    assert!(names.is_sorted());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 10_000);
    assert_eq!(walk(client, &list("a.07", 0)).await.concat().len(), 200);

    for filter in [r#"{"rare":true}"#, r#"{"n":{"$gte":9990}}"#] {
        let request = pb::ListItemsRequest {
            filter: Some(text(filter)),
            ..list("a", 4)
        };
        let sizes: Vec<_> = walk(client, &request).await.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 4, 2], "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_sees_what_exists_throughout_whatever_is_written_meanwhile() {
    let mut running = Running::start().await;
    let stays = |index: usize| ("a".to_owned(), format!("{index:03}-stays"), "{}".to_owned());
    fill(&mut running.client, (0..300).map(stays)).await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let mut client = running.client.clone();
        writers.spawn(async move {
            for index in (writer..300).step_by(4) {
                let passing = format!("{index:03}-passing");
                client.put(put("a", &passing, "{}")).await.unwrap();
                let again = put("a", &format!("{index:03}-stays"), r#"{"again":true}"#);
                client.put(again).await.unwrap();
                client.delete_item(delete("a", &passing)).await.unwrap();
            }
        });
    }
    let expected: Vec<_> = (0..300)
        .map(|index| format!("a/{index:03}-stays"))
        .collect();
    loop {
        let mut seen = walk(&mut running.client, &list("a", 7)).await.concat();
        assert!(seen.is_sorted());
        seen.retain(|name| name.ends_with("stays"));
        assert_eq!(seen, expected);
        if writers.try_join_next().is_some_and(|writer| writer.is_ok()) && writers.is_empty() {
            return;
        }
    }
}

#[tokio::test]
async fn a_walk_goes_on_after_a_restart_and_after_its_last_item_has_gone() {
    let mut running = Running::start().await;
    for key in ["1", "2", "3"] {
        running.client.put(put("a", key, "{}")).await.unwrap();
    }
    let (items, token) = page(&mut running.client, &list("a", 2), "").await.unwrap();
    running
        .client
        .delete_item(delete("a", &items[1].key))
        .await
        .unwrap();
    let mut running = running.restart().await;
    let (items, token) = page(&mut running.client, &list("a", 9), &token)
        .await
        .unwrap();
    assert_eq!(
        (items.len(), items[0].key.as_str(), token.as_str()),
        (1, "3", "")
    );
}

#[tokio::test]
async fn a_token_is_good_for_its_own_request_only() {
    let mut running = Running::start().await;
    let mut other = Running::start().await;
    for client in [&mut running.client, &mut other.client] {
        for key in ["1", "2", "3"] {
            client.put(put("a.b", key, "{}")).await.unwrap();
        }
    }
    let own = list("a", 1);
    let (_, token) = page(&mut running.client, &own, "").await.unwrap();
    let mut tampered = URL_SAFE_NO_PAD.decode(&token).unwrap();
    *tampered.last_mut().unwrap() ^= 1;
    let filtered = pb::ListItemsRequest {
        filter: Some(text("{}")),
        ..own.clone()
    };
    let (_, elsewhere) = page(&mut other.client, &own, "").await.unwrap();
    for (request, token) in [
        (&own, URL_SAFE_NO_PAD.encode(tampered)),
        (&own, "nonsense".to_owned()),
        (&own, elsewhere),
        (&list("a.b", 1), token.clone()),
        (&list("", 1), token.clone()),
        (&filtered, token.clone()),
    ] {
        let error = page(&mut running.client, request, &token)
            .await
            .unwrap_err();
        assert_status(&error, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
        let details = error.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations[0].field, "page_token");
    }
    let (items, _) = page(&mut running.client, &list("a", 5), &token)
        .await
        .unwrap();
    assert_eq!(items.len(), 2);
}

#[tokio::test]
async fn a_page_ends_before_it_is_too_large_for_a_client() {
    let mut running = Running::start().await;
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000_000));
    for key in 0..5 {
        let key = key.to_string();
        running.client.put(put("a", &key, &large)).await.unwrap();
    }
    let sizes: Vec<_> = walk(&mut running.client, &list("a", 5)).await;
    assert_eq!(sizes.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
}
