//! Commands of the binary on a Qdrant collection, which services serve meanwhile.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use memory_service::lexical::{Bm25, WordVector};
use qdrant_client::qdrant::{
    Condition, DeleteFieldIndexCollection, DeletePoints, Filter, PointsSelector,
    PointsUpdateOperation, UpdateBatchPoints, Value as WireValue,
    points_selector::PointsSelectorOneOf,
    points_update_operation::{Operation, SetPayload},
};
use serde_json::Value;
use tokio::task::JoinSet;
use weft_proto::memory::v1 as pb;

use crate::{
    commands::{Data, ITEMS, fail, fill, lines, seen, succeed},
    embedder::{Embedder, vector},
    support::{Calls as _, Client, delete, get, put, value},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_from_a_folder_to_a_collection_and_back_stays_the_same() {
    let embedder = Embedder::start().await;
    let (folder, collection, other) = (Data::in_folder(), Data::in_collection(), Data::in_folder());
    let mut running = folder.serve(Some(&embedder)).await;
    fill(&mut running.client).await;
    let before = seen(&mut running.client, pb::Ranking::Hybrid).await;
    running.stop().await;
    let (first, second, third) = (
        folder.file("1.jsonl"),
        folder.file("2.jsonl"),
        folder.file("3.jsonl"),
    );
    succeed(&folder, None, &["export", &first]).await;
    succeed(&collection, Some(&embedder), &["import", &first]).await;
    let told = succeed(&collection, None, &["check"]).await;
    let sound = format!("{ITEMS} items in 4 namespaces are sound; their embedder is `http:double`");
    assert!(told.starts_with(&sound), "{told}");
    let mut running = collection.serve(Some(&embedder)).await;
    assert_eq!(seen(&mut running.client, pb::Ranking::Hybrid).await, before);
    running.stop().await;
    succeed(&collection, None, &["export", &second]).await;
    assert_eq!(lines(&second), lines(&first));
    succeed(&other, Some(&embedder), &["import", &second]).await;
    succeed(&other, None, &["export", &third]).await;
    assert_eq!(lines(&third), lines(&first));
    // What is there is not written again.
    succeed(&collection, Some(&embedder), &["import", &first]).await;
    succeed(&collection, None, &["export", &folder.file("4.jsonl")]).await;
    assert_eq!(lines(&folder.file("4.jsonl")), lines(&first));
}

/// Writes the same items again and again, and removes some, until it is told to stop.
async fn write_until(mut client: Client, writer: usize, stop: Arc<AtomicBool>) {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("k{}", (writer * 31 + round) % 40);
        let namespace = format!("busy.{}", round % 3);
        let topic = ["car", "cat", "sun"][round % 3];
        if round % 5 == 4 {
            client.delete_item(delete(&namespace, &key)).await.unwrap();
        } else {
            let value = format!(r#"{{"text":"{topic} word{writer} round{round}"}}"#);
            client.put(put(&namespace, &key, &value)).await.unwrap();
        }
        round += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_or_checked_while_it_is_written_is_whole_item_by_item() {
    let embedder = Embedder::start().await;
    let data = Data::in_collection();
    let running = data.serve(Some(&embedder)).await;
    let stop = Arc::<AtomicBool>::default();
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        writers.spawn(write_until(running.client.clone(), writer, stop.clone()));
    }
    let mut exported = String::new();
    while exported.lines().count() < 10 {
        exported = succeed(&data, None, &["export", "-"]).await;
    }
    for _ in 0..3 {
        exported.push_str(&succeed(&data, None, &["export", "-"]).await);
        succeed(&data, None, &["check"]).await;
    }
    stop.store(true, Ordering::Relaxed);
    writers.join_all().await;
    running.stop().await;
    succeed(&data, None, &["check"]).await;

    let bm25 = Bm25::new().unwrap();
    for line in exported.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(text) = line["value"]["text"].as_str() else {
            continue;
        };
        let WordVector { words, weights } = bm25.document(&[text.to_owned()]).unwrap();
        let expected: Vec<_> = words.into_iter().zip(weights).collect();
        let words: Vec<(u32, f32)> = serde_json::from_value(line["words"].clone()).unwrap();
        let sorted = |mut words: Vec<(u32, f32)>| {
            words.sort_unstable_by_key(|(word, _)| *word);
            words
        };
        assert_eq!(sorted(words), sorted(expected), "{line}");
        let meanings: Vec<[f32; 4]> = serde_json::from_value(line["vectors"].clone()).unwrap();
        let cosine: f32 = meanings[0]
            .iter()
            .zip(vector(text))
            .map(|(a, b)| a * b)
            .sum();
        let length = vector(text)
            .map(|number| number * number)
            .iter()
            .sum::<f32>();
        assert!((cosine - length.sqrt()).abs() < 1e-5, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_into_what_is_served_takes_nothing_back_that_is_written_meanwhile() {
    let data = Data::in_collection();
    let mut running = data.serve(None).await;
    fill(&mut running.client).await;
    let file = data.file("all.jsonl");
    succeed(&data, None, &["export", &file]).await;
    // As from an earlier day, so that every line is older than what is there or comes.
    let other = Data::in_collection();
    let mut running_other = other.serve(None).await;
    let mut writers = JoinSet::new();
    for number in 0..ITEMS {
        if number % 3 != 0 {
            continue;
        }
        let mut client = running_other.client.clone();
        running_other
            .clock
            .advance(std::time::Duration::from_micros(1));
        writers.spawn(async move {
            let value = format!(r#"{{"text":"later {number}"}}"#);
            let (namespace, key) = (format!("kept.{}", number % 4), format!("k{number}"));
            let item = client.put(put(&namespace, &key, &value)).await.unwrap();
            (namespace, key, item.etag)
        });
    }
    succeed(&other, None, &["import", &file]).await;
    let written = writers.join_all().await;
    assert_eq!(written.len(), ITEMS / 3);
    for (namespace, key, etag) in written {
        let item = running_other
            .client
            .get(get(&namespace, &key))
            .await
            .unwrap();
        assert_eq!(item.etag, etag);
        assert!(value(&item).contains("later"), "{}", value(&item));
    }
    let listed = pb::ListNamespacesRequest::default();
    let listed = running_other.client.listed(listed).await;
    assert_eq!(
        listed,
        ["kept.0=150", "kept.1=150", "kept.2=150", "kept.3=150"]
    );
    running.stop().await;
    running_other.stop().await;
}

fn selected(filter: Filter) -> Option<PointsSelector> {
    Some(PointsSelector {
        points_selector_one_of: Some(PointsSelectorOneOf::Filter(filter)),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_what_searches_and_lists_of_a_collection_would_miss() {
    let data = Data::in_collection();
    let mut running = data.serve(None).await;
    fill(&mut running.client).await;
    running.stop().await;
    let told = succeed(&data, None, &["check"]).await;
    assert_eq!(
        told,
        format!("{ITEMS} items in 4 namespaces are sound; their embedder is `none`\n")
    );

    let server = data.server.as_ref().unwrap();
    let mut points = server.points();
    let name = server.collection.clone();
    let of = |field: &str, value: &str| Filter::must([Condition::matches(field, value.to_owned())]);
    // An item whose terms are another's, and one whose key is at another place in the order.
    let damage = [
        ("k1", "terms", WireValue::from(vec![7_i64])),
        ("k2", "order_0", WireValue::from(7_i64)),
    ];
    let operations = damage.map(|(key, field, value)| {
        // Keys have no index, so the item is named by its terms.
        let number = &key[1..];
        let document = format!(r#"{{"b":{number}.0}}"#);
        let document = memory_service::domain::Json::parse(&document).unwrap();
        let term = memory_service::domain::filter::terms::of_document(&document)[0];
        let set = SetPayload {
            payload: HashMap::from([(field.to_owned(), value)]),
            points_selector: selected(Filter::must([Condition::matches("terms", term)])),
            ..SetPayload::default()
        };
        PointsUpdateOperation::from(Operation::SetPayload(set))
    });
    let damage = UpdateBatchPoints {
        collection_name: name.clone(),
        wait: Some(true),
        operations: operations.into(),
        ..UpdateBatchPoints::default()
    };
    points.update_batch(damage).await.unwrap();
    // A namespace that nobody knows of any more.
    let forget = DeletePoints {
        collection_name: name.clone(),
        wait: Some(true),
        points: selected(of("registry", "default.kept.3")),
        ..DeletePoints::default()
    };
    points.delete(forget).await.unwrap();
    let drop_index = DeleteFieldIndexCollection {
        collection_name: name,
        wait: Some(true),
        field_name: "etag".to_owned(),
        ..DeleteFieldIndexCollection::default()
    };
    points.delete_field_index(drop_index).await.unwrap();

    let told = fail(&data, None, &["check"]).await;
    for expected in [
        "the index of `etag` is not there",
        "kept.1/k1 of `default`: its field `terms` does not follow from it",
        "kept.2/k2 of `default`: its field `order_0` does not follow from it",
        "the namespace kept.3 of `default` is said to hold 0 items, but holds 150",
        &format!("{} items in 4 namespaces are sound", ITEMS - 2),
        "4 faults were found",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_is_not_there_is_named_and_not_made() {
    let data = Data::in_collection();
    let collection = &data.server.as_ref().unwrap().collection;
    for command in [["check"].as_slice(), &["export", "-"]] {
        let complaint = fail(&data, None, command).await;
        let expected = format!("has no collection `{collection}`");
        assert!(complaint.contains(&expected), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    fs::write(
        data.file("empty"),
        "{\"format\":\"weft-memory-export 1\",\"embedder\":null}",
    )
    .unwrap();
    succeed(&data, None, &["import", &data.file("empty")]).await;
    succeed(&data, None, &["check"]).await;
}
