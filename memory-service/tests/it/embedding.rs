//! Texts on their way to an embedder that may fail: what is asked, and what becomes of a put.

use std::time::Duration;

use futures::future::join_all;
use memory_service::{
    config::Config,
    embed::{EmbedError, Embedder as _, HttpEmbedder},
};
use prost_types::Duration as Span;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use weft_proto::memory::v1 as pb;

use crate::{
    embedder::{Embedder, Fault, LONG_DIMS, vector},
    support::{
        Calls as _, Running, assert_status, delete, get, put, query, search, value, violations,
    },
};

fn text(text: &str) -> String {
    format!(r#"{{"text":"{text}"}}"#)
}

fn batch(puts: impl IntoIterator<Item = pb::PutItemRequest>) -> pb::BatchRequest {
    let operation = |put| pb::BatchOperation {
        operation: Some(pb::batch_operation::Operation::Put(put)),
    };
    pb::BatchRequest {
        operations: puts.into_iter().map(operation).collect(),
    }
}

#[tokio::test]
async fn the_embedder_is_asked_for_what_is_configured() {
    let embedder = Embedder::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "s3cret\n").unwrap();
    let mut running = Running::start_with(|config| {
        embedder.configure(config);
        config.embedding_dims = 4;
        config.embedding_template = "{namespace}/{key}: {text}".to_owned();
        config.embedding_api_key_file = key;
    })
    .await;
    running
        .client
        .put(put("a.b", "k", &text("car")))
        .await
        .unwrap();
    running.client.hits(query("", "sun")).await.unwrap();
    let requests = embedder.requests();
    let inputs: Vec<_> = requests
        .iter()
        .map(|(body, _)| body["input"][0].clone())
        .collect();
    assert_eq!(inputs, ["probe", "a.b/k: car", "sun"]);
    for (body, key) in requests {
        assert_eq!(
            (&body["model"], &body["dimensions"]),
            (&"double".into(), &4.into())
        );
        assert_eq!(key.as_deref(), Some("Bearer s3cret"));
    }
}

#[tokio::test]
async fn a_fault_that_passes_is_not_seen() {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| embedder.configure(config)).await;
    let faults = [
        Fault::Status(429, &[("retry-after", "0")], "{}"),
        Fault::Status(500, &[("retry-after-ms", "1")], "oops"),
        Fault::CutOff,
        Fault::WrongCount,
        Fault::OneTooMany,
        Fault::NotANumber,
        Fault::OtherDims,
    ];
    for fault in faults {
        embedder.texts();
        embedder.fail([fault]);
        running
            .client
            .put(put("a", "k", &text("car")))
            .await
            .unwrap();
        assert_eq!(embedder.texts().len(), 2, "{fault:?}");
        let hits = running.client.hits(query("a", "automobile")).await.unwrap();
        assert_eq!(hits.len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn embeddings_belong_to_their_texts_in_whatever_order_they_come() {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| embedder.configure(config)).await;
    embedder.fail([Fault::Reversed]);
    let puts = ["car", "cat", "sun"].map(|word| put("a", word, &text(word)));
    running.client.batch(batch(puts)).await.unwrap();
    for (word, expected) in [("automobile", "car"), ("kitten", "cat"), ("sun", "sun")] {
        assert_eq!(running.client.keys(query("", word)).await[0], expected);
    }
}

#[track_caller]
fn assert_away(status: &Status, retry_after: Option<Duration>) {
    assert_status(status, Code::Unavailable, "EMBEDDER_UNAVAILABLE");
    let delay = status.get_details_retry_info().unwrap().retry_delay;
    assert!(
        delay.is_some() && (retry_after.is_none() || delay == retry_after),
        "{delay:?}"
    );
}

#[tokio::test]
async fn nothing_is_written_while_the_embedder_is_away() {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| {
        embedder.configure(config);
        config.embedding_timeout = Duration::from_millis(400);
    })
    .await;
    let client = &mut running.client;
    client.put(put("a", "old", &text("car"))).await.unwrap();
    let busy = Fault::Status(429, &[("retry-after", "7")], "slow down");
    let seven = Some(Duration::from_secs(7));
    for (fault, retry_after) in [(busy, seven), (Fault::Silence, None)] {
        embedder.fail([fault; 3]);
        let error = client.put(put("a", "new", &text("cat"))).await.unwrap_err();
        assert_away(&error, retry_after);
        let error = client.put(put("a", "old", &text("cat"))).await.unwrap_err();
        assert_away(&error, retry_after);
        let error = client.hits(query("", "cat")).await.unwrap_err();
        assert_away(&error, retry_after);
        assert_eq!(client.keys(search("")).await, ["old"]);
    }
    // It is one for the whole of a batch, too.
    embedder.fail([busy]);
    let indexed = put("a", "new", &text("cat"));
    let unindexed = pb::PutItemRequest {
        indexing: Some(pb::Indexing {
            disabled: true,
            paths: vec![],
        }),
        ..put("a", "plain", "{}")
    };
    let error = client
        .batch(batch([unindexed.clone(), indexed]))
        .await
        .unwrap_err();
    assert_away(&error, seven);
    assert_eq!(client.keys(search("")).await, ["old"]);
    // What needs no embedder does not notice.
    client.put(unindexed).await.unwrap();
    client.get(get("a", "old")).await.unwrap();
    let lexical = pb::SearchItemsRequest {
        ranking: pb::Ranking::Lexical.into(),
        ..query("", "car")
    };
    assert_eq!(client.keys(lexical).await, ["old"]);
}

#[tokio::test]
async fn nothing_is_written_while_the_embedder_answers_what_is_no_answer() {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| {
        embedder.configure(config);
        // Time for a second try, and for no third one.
        config.embedding_timeout = Duration::from_millis(400);
    })
    .await;
    let client = &mut running.client;
    let old = put("a", "old", &text("car"));
    client.put(old).await.unwrap();
    let unindexed = pb::PutItemRequest {
        indexing: Some(pb::Indexing {
            disabled: true,
            paths: vec![],
        }),
        ..put("b", "plain", "{}")
    };
    for fault in [
        Fault::Status(500, &[], "oops"),
        Fault::CutOff,
        Fault::WrongCount,
        Fault::OneTooMany,
        Fault::NotANumber,
        Fault::OtherDims,
    ] {
        embedder.fail([fault; 6]);
        let (new, over) = (put("c", "new", &text("cat")), put("a", "old", &text("cat")));
        let error = client.put(over.clone()).await.unwrap_err();
        assert_away(&error, None);
        let error = client.batch(batch([unindexed.clone(), new, over])).await;
        assert_away(&error.unwrap_err(), None);
        embedder.recover();
        let listed = client.listed(pb::ListNamespacesRequest::default()).await;
        assert_eq!(listed, ["a=1"], "{fault:?}");
        let item = client.get(get("a", "old")).await.unwrap();
        assert_eq!(value(&item), text("car"), "{fault:?}");
        let found = client.hits(query("a", "automobile")).await.unwrap();
        assert!(found[0].score.unwrap() > 0.4, "{fault:?} {found:?}");
    }
}

#[tokio::test]
async fn vectors_of_other_dims_than_asked_for_are_refused_at_the_start() {
    let embedder = Embedder::start().await;
    let refusal = Running::refused_on(None, |config| {
        embedder.configure(config);
        config.embedding_dims = 8;
    })
    .await;
    assert!(refusal.contains("4 dimensions instead of 8"), "{refusal}");
    assert_eq!(embedder.requests()[0].0["dimensions"], 8);
}

#[tokio::test]
async fn an_embedder_gets_texts_as_they_are_and_not_too_many_bytes_at_once() {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| embedder.configure(config)).await;
    embedder.texts();
    let long = |word: &str| word.repeat(300_000);
    let texts = [
        "a\\u0000b".to_owned(),
        long("x"),
        long("y"),
        long("z"),
        long("w"),
    ];
    let puts = texts.iter().enumerate();
    let puts = puts.map(|(index, one)| put("a", &index.to_string(), &text(one)));
    running.client.batch(batch(puts)).await.unwrap();
    let asked = embedder.texts();
    let bytes = |texts: &Vec<String>| texts.iter().map(String::len).sum::<usize>();
    assert!(asked.iter().all(|texts| bytes(texts) <= 1_000_000));
    assert_eq!(asked.len(), 2);
    let mut asked = asked.concat();
    asked.sort();
    assert_eq!(
        asked,
        [
            "a\0b".to_owned(),
            long("w"),
            long("x"),
            long("y"),
            long("z")
        ]
    );
}

#[tokio::test]
async fn a_refusal_is_final_and_says_whose_it_is() {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| embedder.configure(config)).await;
    for fault in [
        Fault::Status(401, &[], "no such key"),
        Fault::Status(400, &[], "too long"),
        Fault::Status(429, &[], r#"{"error":{"type":"insufficient_quota"}}"#),
    ] {
        embedder.texts();
        embedder.fail([fault]);
        let error = running
            .client
            .put(put("a", "k", &text("car")))
            .await
            .unwrap_err();
        assert_status(&error, Code::FailedPrecondition, "EMBEDDER_REFUSED");
        assert_eq!(embedder.texts().len(), 1);
    }
    assert!(running.client.keys(search("")).await.is_empty());
}

#[tokio::test]
async fn equal_texts_of_a_request_are_embedded_once_and_many_in_batches() {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| embedder.configure(config)).await;
    embedder.texts();
    let puts = (0..200).map(|index| {
        put(
            "a",
            &index.to_string(),
            &text(&format!("deg{}", index % 100)),
        )
    });
    running.client.batch(batch(puts)).await.unwrap();
    let texts = embedder.texts();
    assert!(texts.iter().all(|texts| texts.len() <= 32), "{texts:?}");
    let mut texts = texts.concat();
    texts.sort();
    let count = texts.len();
    texts.dedup();
    assert_eq!((count, texts.len()), (100, 100));
    let semantic = pb::SearchItemsRequest {
        ranking: pb::Ranking::Semantic.into(),
        limit: 2,
        ..query("a", "deg42")
    };
    assert_eq!(running.client.keys(semantic).await, ["142", "42"]);
}

#[tokio::test]
async fn equal_queries_of_a_batch_are_embedded_once() {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| embedder.configure(config)).await;
    let client = &mut running.client;
    client.put(put("a", "k", &text("cat"))).await.unwrap();
    embedder.texts();
    let searches = (0..300).map(|index| match index % 3 {
        0 => query("a", "kitten"),
        1 => query("", "kitten"),
        // What is ranked by words, or not at all, needs no vector.
        _ => pb::SearchItemsRequest {
            ranking: pb::Ranking::Lexical.into(),
            ..query("a", "dog")
        },
    });
    let operations = searches.map(|search| pb::BatchOperation {
        operation: Some(pb::batch_operation::Operation::Search(search)),
    });
    let operations = operations.chain(batch([put("b", "k", &text("car"))]).operations);
    let request = pb::BatchRequest {
        operations: operations.collect(),
    };
    let results = client.batch(request.clone()).await.unwrap().into_inner();
    let mut texts = embedder.texts().concat();
    texts.sort();
    assert_eq!(texts, ["car", "kitten"]);
    let found = |result: pb::BatchResult| match result.result {
        Some(pb::batch_result::Result::Search(found)) => found.hits.len(),
        _ => 0,
    };
    let found: Vec<_> = results.results.into_iter().map(found).collect();
    assert_eq!(found[..6], [1, 1, 0, 1, 1, 0]);

    // A query that cannot be embedded keeps the writes beside it from happening.
    client.delete_item(delete("b", "k")).await.unwrap();
    embedder.fail([Fault::Status(400, &[], "too long"); 2]);
    let error = client.batch(request).await.unwrap_err();
    assert_status(&error, Code::FailedPrecondition, "EMBEDDER_REFUSED");
    assert_eq!(client.keys(search("")).await, ["k"]);
}

#[tokio::test]
async fn half_a_minute_of_silence_is_the_end_and_dates_to_try_again_at_are_understood() {
    let server = Embedder::start().await;
    let embedder = HttpEmbedder::connect(server.settings()).await.unwrap();
    let texts = ["car".to_owned()];
    server.fail([Fault::Silence]);
    // The clock jumps to the next timer whenever nothing else is to be done.
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    let error = embedder.embed_documents(&texts).await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 30);
    tokio::time::resume();
    assert!(
        matches!(&error, EmbedError::Unavailable { cause, .. } if cause.contains("30s")),
        "{error}"
    );
    // What is past is no reason to wait; what is years ahead is not waited for.
    let past = [("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")].as_slice();
    server.fail([Fault::Status(429, past, "slow down")]);
    server.texts();
    assert!(embedder.embed_documents(&texts).await.is_ok());
    assert_eq!(server.texts().len(), 2);
    for ahead in [
        [("retry-after", "Sat, 23 Nov 2126 10:00:00 GMT")].as_slice(),
        &[("retry-after", "18446744073709551615")],
    ] {
        server.fail([Fault::Status(503, ahead, "closed")]);
        let error = embedder.embed_documents(&texts).await.unwrap_err();
        let EmbedError::Unavailable { retry_after, .. } = error else {
            panic!("{error}")
        };
        assert!(retry_after > Duration::from_secs(90 * 365 * 24 * 3600));
    }
}

#[tokio::test]
async fn calls_that_wait_at_the_same_moment_share_a_request() {
    let server = Embedder::start().await;
    let embedder = HttpEmbedder::connect(server.settings()).await.unwrap();
    let texts: Vec<_> = (0..28).map(|index| vec![format!("deg{index}")]).collect();
    let together = || join_all(texts.iter().map(|texts| embedder.embed_documents(texts)));
    let check = |outcomes: Vec<Result<Vec<Vec<f32>>, EmbedError>>| {
        for (texts, outcome) in texts.iter().zip(outcomes) {
            assert_eq!(outcome.unwrap(), [vector(&texts[0]).to_vec()]);
        }
    };
    server.texts();
    check(together().await);
    // All but the first eight, which had their turns at once, share.
    let lengths: Vec<_> = server.texts().iter().map(Vec::len).collect();
    assert_eq!((lengths.len(), lengths.iter().sum::<usize>()), (9, 28));

    // Equal texts of different calls are one.
    let texts = vec![vec!["deg1".to_owned(), "deg2".to_owned()]; 20];
    let equal = join_all(texts.iter().map(|texts| embedder.embed_documents(texts))).await;
    for outcome in equal {
        assert_eq!(
            outcome.unwrap(),
            ["deg1", "deg2"].map(|text| vector(text).to_vec())
        );
    }
    let lengths: Vec<_> = server.texts().iter().map(Vec::len).collect();
    assert_eq!(lengths, [2; 9]);

    // What is refused together is asked for one by one.
    server.fail([Fault::Reversed; 8]);
    server.fail([Fault::Status(400, &[], "too long")]);
    check(together().await);
    assert_eq!(server.texts().len(), 8 + 1 + 20);
}

#[tokio::test]
async fn what_has_no_text_is_not_embedded_and_too_many_texts_are_refused() {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| {
        embedder.configure(config);
        config.index_paths = vec!["texts[*]".to_owned()];
    })
    .await;
    embedder.texts();
    for value in ["{}", r#"{"texts":["", "  "]}"#, r#"{"texts":[null]}"#] {
        running.client.put(put("a", "k", value)).await.unwrap();
    }
    assert!(embedder.texts().is_empty());
    let many: Vec<_> = (0..1001).map(|index| index.to_string()).collect();
    let many = put("a", "k", &format!(r#"{{"texts":[{}]}}"#, many.join(",")));
    let faults = violations(&running.client.put(many).await.unwrap_err());
    assert!(
        faults[0].contains("1001 texts") && faults[0].contains("1000"),
        "{faults:?}"
    );
}

#[tokio::test]
async fn of_long_vectors_an_item_has_as_many_as_a_server_takes() {
    let embedder = Embedder::start_long().await;
    let mut running = Running::start_with(|config| {
        embedder.configure(config);
        config.index_paths = vec!["texts[*]".to_owned()];
    })
    .await;
    let most = ((1 << 20) - 1) / LONG_DIMS;
    let with = |texts: usize| {
        let texts: Vec<_> = (0..texts).map(|index| index.to_string()).collect();
        put("a", "k", &format!(r#"{{"texts":[{}]}}"#, texts.join(",")))
    };
    running.client.put(with(most)).await.unwrap();
    let faults = violations(&running.client.put(with(most + 1)).await.unwrap_err());
    assert!(
        faults[0].contains(&format!("more than {most}")),
        "{faults:?}"
    );
    assert_eq!(running.client.keys(query("a", "1")).await, ["k"]);
}

#[tokio::test]
async fn an_item_lives_from_its_write_on_however_long_embedding_took() {
    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| embedder.configure(config)).await;
    let request = pb::PutItemRequest {
        ttl: Some(Span {
            seconds: 10,
            nanos: 0,
        }),
        ..put("a", "k", &text("car"))
    };
    let item = running.client.put(request).await.unwrap();
    let seconds = |time: Option<prost_types::Timestamp>| time.unwrap().seconds;
    assert_eq!(seconds(item.expire_time) - seconds(item.update_time), 10);
}

#[tokio::test]
async fn a_key_that_the_embedder_repeats_is_in_no_error() {
    let embedder = Embedder::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "s3cret\n").unwrap();
    let mut config = Config::default();
    embedder.configure(&mut config);
    config.embedding_api_key_file = key;
    embedder.fail([Fault::Status(401, &[], "the key s3cret is none")]);
    let error = config.embedding().await.err().unwrap();
    let (shown, debugged) = (error.to_string(), format!("{error:?}"));
    assert!(shown.contains("the key [redacted] is none"), "{shown}");
    assert!(!debugged.contains("s3cret"), "{debugged}");
}
