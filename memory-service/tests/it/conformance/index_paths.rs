//! Row "index paths": items are found by the texts at the paths they were put with.

use weft_proto::memory::v1::{self as pb, Ranking};

use super::{
    calls::{By, Calls as _},
    ranked, running, scores,
};
use crate::{
    embedder::Embedder,
    support::{Client, Running, delete, put, query, search, violations},
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

#[tokio::test]
async fn malformed_paths_are_named() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let put_with = |paths: &[&str]| pb::PutItemRequest {
        indexing: Some(pb::Indexing {
            disabled: false,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..put("x", "k", "{}")
    };
    for (path, expected) in [
        (".a", "has an empty segment"),
        ("a.", "has an empty segment"),
        ("a..b", "has an empty segment"),
        ("{}", "has an empty segment"),
        ("{a,}", "has an empty segment"),
        ("$.a", "begins with `$.`"),
        ("a[0", "has an unclosed `[`"),
        ("{a", "has an unclosed `{`"),
        ("a[]", "has `[]` where an index"),
        ("a[x]", "has `[x]` where an index"),
        ("a]", "has an unexpected `]`"),
        ("a[0]b", "has an unexpected `b`"),
    ] {
        let error = client.put(put_with(&["ok", path])).await.unwrap_err();
        let expected = format!("indexing.paths[1]: `{path}` {expected}");
        let violations = violations(&error);
        assert!(violations[0].starts_with(&expected), "{violations:?}");
    }
    let error = client
        .put(put_with(&["a..b", "ok", "c["]))
        .await
        .unwrap_err();
    assert_eq!(violations(&error).len(), 2);
    let error = client.put(put_with(&["a"; 65])).await.unwrap_err();
    assert_eq!(
        violations(&error),
        ["indexing.paths: must be at most 64 paths, not 65"]
    );
    let error = client
        .put(put_with(&[&"a".repeat(1025)]))
        .await
        .unwrap_err();
    assert!(violations(&error)[0].starts_with("indexing.paths[0]: "));
    client.put(put_with(&["a"; 64])).await.unwrap();
}

#[tokio::test]
async fn every_form_of_a_path_finds_its_texts() {
    let embedder = Embedder::start().await;
    for by in By::ALL {
        let mut running = running(&embedder).await;
        let client = &mut running.client;
        let document = r#"{"t":"one","n":1.0,"yes":true,"none":null,"o":{"z":[2,"é"],"a":"two"},"l":[{"b":"three"},{"b":"four"},"five"]}"#;
        for (path, expected) in [
            ("t", ["one"].as_slice()),
            ("n", &["1.0"]),
            ("yes", &["true"]),
            ("none", &[]),
            ("missing", &[]),
            ("o.a", &["two"]),
            ("o", &[r#"{"a": "two", "z": [2, "é"]}"#]),
            ("l[0].b", &["three"]),
            ("l[-1]", &["five"]),
            ("l[*].b", &["three", "four"]),
            ("o.*", &[r#"[2, "é"]"#, "two"]),
            ("{t,o.a}", &["one", "two"]),
        ] {
            embedder.texts();
            let request = pb::PutItemRequest {
                indexing: Some(pb::Indexing {
                    disabled: false,
                    paths: vec![path.to_owned()],
                }),
                ..put("x", "k", document)
            };
            by.put(client, request).await;
            let mut found = embedder.texts().concat();
            let mut expected: Vec<_> = expected.iter().map(|text| (*text).to_owned()).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{path}");
        }
        for whole in ["$", ""] {
            embedder.texts();
            let request = pb::PutItemRequest {
                indexing: Some(pb::Indexing {
                    disabled: false,
                    paths: vec![whole.to_owned()],
                }),
                ..put("x", "k", r#"{"b":[1,2],"a":"é"}"#)
            };
            by.put(client, request).await;
            assert_eq!(embedder.texts().concat(), [r#"{"a": "é", "b": [1, 2]}"#]);
        }
    }
}
