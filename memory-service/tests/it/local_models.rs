//! Embedders in the process: their vectors beside those of others, and a service that has them.

use std::{path::Path, time::Duration};

use futures::{FutureExt as _, future::join_all};
use memory_service::{
    config::Config,
    embed::{
        Embedder, LocalEmbedder,
        local::{Kind, LocalSettings},
        model::ModelError,
    },
};
use serde::Deserialize;
use weft_proto::memory::v1::{self as pb, Ranking};

use crate::{
    partners,
    support::{Calls as _, Running, put, query},
};

/// What a text is to become.
#[derive(Deserialize)]
pub(crate) struct Reference {
    text: String,
    vector: Vec<f32>,
}

fn minilm_references() -> Vec<Reference> {
    serde_json::from_str(include_str!("../reference/minilm_vectors.json")).unwrap()
}

pub(crate) fn wordllama_references() -> Vec<Reference> {
    serde_json::from_str(include_str!("../reference/wordllama_vectors.json")).unwrap()
}

pub(crate) async fn load(kind: Kind, folder: &Path) -> Result<LocalEmbedder, ModelError> {
    LocalEmbedder::load(LocalSettings {
        kind,
        folder: folder.to_owned(),
        dims: None,
        timeout: Duration::from_secs(120),
    })
    .await
}

/// The greatest difference between two vectors, over all their numbers.
pub(crate) fn difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let differences = one
        .iter()
        .zip(other)
        .map(|(one, other)| (one - other).abs());
    differences.fold(0.0, f32::max)
}

/// Compares vectors with references: of texts that go together, and of each text by itself.
pub(crate) async fn assert_references(
    embedder: &LocalEmbedder,
    references: &[Reference],
    tolerance: f32,
) {
    let texts: Vec<_> = references.iter().map(|one| one.text.clone()).collect();
    let together = embedder.embed_documents(&texts).await.unwrap();
    for (reference, vector) in references.iter().zip(&together) {
        let alone = [reference.text.clone()];
        let alone = embedder.embed_queries(&alone).await.unwrap();
        for vector in [vector, &alone[0]] {
            let difference = difference(vector, &reference.vector);
            assert!(difference < tolerance, "{difference} {:?}", reference.text);
        }
    }
}

#[tokio::test]
async fn bert_vectors_of_minilm_are_those_of_an_independent_computation() {
    let Some(folder) = partners::minilm() else {
        return;
    };
    let embedder = load(Kind::Bert, &folder).await.unwrap();
    assert_eq!(embedder.dims(), 384);
    assert_references(&embedder, &minilm_references(), 1e-3).await;
}

#[tokio::test]
async fn static_vectors_of_wordllama_are_those_of_its_own_package() {
    let Some(folder) = partners::wordllama() else {
        return;
    };
    let embedder = load(Kind::Static, &folder).await.unwrap();
    assert_eq!(embedder.dims(), 256);
    assert_references(&embedder, &wordllama_references(), 1e-4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_of_minilm_each_get_the_vectors_of_their_texts() {
    let Some(folder) = partners::minilm() else {
        return;
    };
    let embedder = load(Kind::Bert, &folder).await.unwrap();
    let mut references = minilm_references();
    references.truncate(6);
    let calls = (0..60).map(|call| {
        let (embedder, reference) = (&embedder, &references[call % references.len()]);
        async move {
            let text = [reference.text.clone()];
            let vectors = embedder.embed_documents(&text);
            if call % 5 == 4 {
                // Goes away before there is an answer, and must take nobody along.
                assert!(vectors.now_or_never().is_none());
                return;
            }
            let vectors = vectors.await.unwrap();
            assert!(difference(&vectors[0], &reference.vector) < 1e-3);
        }
    });
    join_all(calls).await;
}

async fn finds_by_meaning(embedder: String) {
    let configure = |config: &mut Config| {
        config.embedder.clone_from(&embedder);
        config.index_paths = vec!["text".to_owned()];
    };
    let mut running = Running::start_with(configure).await;
    let long = format!(r#"{{"text":"{}"}}"#, "weather ".repeat(100_000));
    for (key, value) in [
        ("car", r#"{"text":"She bought a red car last summer."}"#),
        ("soup", r#"{"text":"He cooks soup for dinner."}"#),
        ("long", &long),
    ] {
        running.client.put(put("a", key, value)).await.unwrap();
    }
    let semantic = |words: &str| pb::SearchItemsRequest {
        ranking: Ranking::Semantic.into(),
        ..query("a", words)
    };
    let mut running = running.restart().await;
    for (words, expected) in [
        ("an automobile", "car"),
        ("preparing a meal", "soup"),
        ("rain and sunshine", "long"),
    ] {
        let keys = running.client.keys(semantic(words)).await;
        assert_eq!(keys[0], expected, "{embedder} {words}");
    }
}

#[tokio::test]
async fn a_service_with_wordllama_finds_by_meaning_after_a_restart_too() {
    if let Some(folder) = partners::wordllama() {
        finds_by_meaning(format!("static:{}", folder.display())).await;
    }
}

#[tokio::test]
async fn a_service_with_minilm_finds_by_meaning_after_a_restart_too() {
    if let Some(folder) = partners::minilm() {
        finds_by_meaning(format!("bert:{}", folder.display())).await;
    }
}
