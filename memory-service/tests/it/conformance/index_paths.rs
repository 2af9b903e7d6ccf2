//! Row "index paths": items are found by the texts at the paths they were put with.

use weft_proto::memory::v1::{self as pb, Ranking};

use super::{ranked, running, scores};
use crate::{
    embedder::Embedder,
    support::{Calls as _, Client, Running, delete, put, query, search},
};

#[tokio::test]
async fn configured_paths_index_what_puts_do_not_say() {
    let mut running =
        Running::start_with(|config| config.index_paths = vec!["{title,name},tags[*]".into()])
            .await;
    let value = r#"{"title":"fig","tags":["pear"],"body":"plum"}"#;
    running.client.put(put("x", "k", value)).await.unwrap();
    assert_eq!(running.client.keys(query("", "figs")).await, ["k"]);
    assert_eq!(running.client.keys(query("", "pear")).await, ["k"]);
    assert!(running.client.keys(query("", "plum")).await.is_empty());
}

#[tokio::test]
async fn items_without_an_index_are_never_found_by_words() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let put_with = |key: &str, disabled, paths: &[&str]| pb::PutItemRequest {
        indexing: Some(pb::Indexing {
            disabled,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..put(
            "x",
            key,
            r#"{"a":"pear","notes":[{"b":"plum"},{"b":"fig"}],"n":null}"#,
        )
    };
    client.put(put_with("none", true, &[])).await.unwrap();
    client.put(put_with("a", false, &["a"])).await.unwrap();
    client
        .put(put_with("notes", false, &["notes[*].b"]))
        .await
        .unwrap();
    client
        .put(put_with("empty", false, &["n", "missing"]))
        .await
        .unwrap();
    client.put(put_with("all", false, &[])).await.unwrap();
    assert_eq!(client.keys(query("", "pear")).await, ["a", "all"]);
    assert_eq!(client.keys(query("", "figs")).await, ["notes", "all"]);
    assert_eq!(client.keys(search("")).await.len(), 5);

    // A new put leaves nothing of the old index behind.
    client.put(put_with("a", true, &[])).await.unwrap();
    client
        .put(put_with("all", false, &["notes[0]"]))
        .await
        .unwrap();
    assert!(client.keys(query("", "pear")).await.is_empty());
    assert_eq!(client.keys(query("", "plum")).await.len(), 2);
    client.delete_item(delete("x", "all")).await.unwrap();
    assert_eq!(client.keys(query("", "plum")).await, ["notes"]);
}

#[tokio::test]
async fn an_item_scores_as_its_best_text_and_a_new_put_leaves_no_old_one() {
    let embedder = Embedder::start().await;
    let mut running = running(&embedder).await;
    let put_with = |disabled, paths: &[&str]| pb::PutItemRequest {
        indexing: Some(pb::Indexing {
            disabled,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..put("a", "k", r#"{"one":"car","more":["cat","sun"]}"#)
    };
    let found = async |client: &mut Client| {
        let mut found = Vec::new();
        for word in ["automobile", "kitten", "sun"] {
            found.push(scores(client, ranked(Ranking::Semantic, "", word)).await);
        }
        found
            .concat()
            .into_iter()
            .map(|(_, score)| score)
            .collect::<Vec<_>>()
    };
    let client = &mut running.client;
    client
        .put(put_with(false, &["one", "more[*]"]))
        .await
        .unwrap();
    assert_eq!(found(client).await, [1000, 1000, 1000]);
    client.put(put_with(false, &["more[0]"])).await.unwrap();
    assert_eq!(found(client).await, [0, 1000, 0]);
    client.put(put_with(true, &[])).await.unwrap();
    assert!(found(client).await.is_empty());
    client.put(put_with(false, &["one"])).await.unwrap();
    let mut running = running.restart().await;
    assert_eq!(found(&mut running.client).await, [1000, 0, 0]);
    running.client.delete_item(delete("a", "k")).await.unwrap();
    assert!(found(&mut running.client).await.is_empty());
}
