//! Removed items give their room back by themselves.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use weft_proto::memory::v1 as pb;

use crate::support::{Calls as _, Running, delete, labels, put, query};

/// The parts of the engine's data; what is written anew has a name of its own.
fn segments(data: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(data.join("memory/engine/segments")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_items_give_their_room_back_and_the_metrics_tell() {
    let mut data = PathBuf::new();
    let running = Running::start_on(None, |config| {
        config.optimise_from = 100;
        data.clone_from(&config.data_dir);
    })
    .await;
    let mut client = running.client.clone();
    let told = running.metric("memory_optimisations_total").await;
    let before = segments(&data);
    for number in 0..200 {
        let document = format!(r#"{{"text":"zebra {number}"}}"#);
        let put = put("a.b", &number.to_string(), &document);
        client.put(put).await.unwrap();
    }
    for number in 0..100 {
        let delete = delete("a.b", &number.to_string());
        client.delete_item(delete).await.unwrap();
    }
    while !segments(&data).is_disjoint(&before) {
        tokio::task::yield_now().await;
    }
    running.settled().await;
    assert!(running.metric("memory_optimisations_total").await > told);
    assert!(running.metric("memory_optimisation_seconds_count").await > 0.0);
    let found = pb::SearchItemsRequest {
        limit: 1_000,
        ..query("a", "zebra")
    };
    assert_eq!(client.keys(found).await.len(), 100);
    let count = pb::CountItemsRequest {
        namespace_prefix: labels("a"),
        filter: None,
    };
    let counted = client.count_items(count).await.unwrap().into_inner();
    assert_eq!(counted.count, 100);
    running.stop().await;
}
