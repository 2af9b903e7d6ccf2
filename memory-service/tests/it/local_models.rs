//! Embedders in the process: their vectors beside those of others, their names, their folders.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{FutureExt as _, future::join_all};
use memory_service::embed::{
    Embedder, LocalEmbedder,
    local::{Kind, LocalSettings},
    model::ModelError,
};
use serde::Deserialize;
use tempfile::TempDir;
use weft_proto::memory::v1::{self as pb, Ranking};

use crate::{
    partners,
    support::{Calls as _, Running, put, query},
};

/// What a text is to become.
#[derive(Deserialize)]
struct Reference {
    text: String,
    vector: Vec<f32>,
}

fn minilm_references() -> Vec<Reference> {
    serde_json::from_str(include_str!("../reference/minilm_vectors.json")).unwrap()
}

fn wordllama_references() -> Vec<Reference> {
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
fn difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let differences = one
        .iter()
        .zip(other)
        .map(|(one, other)| (one - other).abs());
    differences.fold(0.0, f32::max)
}

/// Compares vectors with references: of texts that go together, and of each text by itself.
async fn assert_references(embedder: &LocalEmbedder, references: &[Reference], tolerance: f32) {
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

/// A folder with links to files of another one, under the same names or others.
fn links(to: &Path, files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, name) in files {
        let link = folder.path().join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(to.join(file), link).unwrap();
    }
    folder
}

const WORDLLAMA: [&str; 2] = [
    "weights/l2_supercat_256.safetensors",
    "tokenizers/l2_supercat_tokenizer_config.json",
];

#[tokio::test]
async fn a_static_model_of_wordllama_is_the_same_in_every_layout() {
    let Some(folder) = partners::wordllama() else {
        return;
    };
    let [weights, tokenizer] = WORDLLAMA;
    let own = load(Kind::Static, &folder).await.unwrap();
    for place in ["", "0_StaticEmbedding/"] {
        let names = ["model.safetensors", "tokenizer.json"].map(|name| format!("{place}{name}"));
        let moved = links(&folder, &[(weights, &names[0]), (tokenizer, &names[1])]);
        let moved = load(Kind::Static, moved.path()).await.unwrap();
        assert_eq!(moved.id(), own.id());
        assert_references(&moved, &wordllama_references(), 1e-4).await;
    }
}

const MINILM: [&str; 6] = [
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "model.safetensors",
];

/// A folder with MiniLM, but for one file.
fn minilm_but(folder: &Path, file: &str, content: &str) -> TempDir {
    let links = links(folder, &MINILM.map(|file| (file, file)));
    let path = links.path().join(file);
    let _ = fs::remove_file(&path);
    fs::write(path, content).unwrap();
    links
}

#[tokio::test]
async fn what_a_model_of_minilm_says_about_itself_counts() {
    let Some(folder) = partners::minilm() else {
        return;
    };
    let texts = |text: &str| [text.to_owned()];
    let original = load(Kind::Bert, &folder).await.unwrap();
    let plain = original
        .embed_documents(&texts("query: a cat"))
        .await
        .unwrap();

    let prompts = r#"{"prompts":{"query":"query: "}}"#;
    let prompted = minilm_but(&folder, "config_sentence_transformers.json", prompts);
    let prompted = load(Kind::Bert, prompted.path()).await.unwrap();
    let as_query = prompted.embed_queries(&texts("a cat")).await.unwrap();
    let as_document = prompted
        .embed_documents(&texts("query: a cat"))
        .await
        .unwrap();
    assert_eq!((&as_query, &as_document), (&plain, &plain));

    let first = r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false}"#;
    let first = minilm_but(&folder, "1_Pooling/config.json", first);
    let first = load(Kind::Bert, first.path()).await.unwrap();
    let pooled = first.embed_documents(&texts("query: a cat")).await.unwrap();
    assert!(difference(&pooled[0], &plain[0]) > 0.01);

    let short = minilm_but(
        &folder,
        "sentence_bert_config.json",
        r#"{"max_seq_length":4}"#,
    );
    let short = load(Kind::Bert, short.path()).await.unwrap();
    let cut = short
        .embed_documents(&texts("two words of many"))
        .await
        .unwrap();
    let two = original.embed_documents(&texts("two words")).await.unwrap();
    assert!(difference(&cut[0], &two[0]) < 1e-5);

    let mut names = vec![original.id().to_owned()];
    names.extend([&prompted, &first, &short].map(|other| other.id().to_owned()));
    assert!(names.iter().all(|name| name.starts_with("bert:")));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4);
}

#[tokio::test]
async fn a_model_of_minilm_that_is_not_supported_is_refused_by_its_file() {
    let Some(folder) = partners::minilm() else {
        return;
    };
    let config = fs::read_to_string(folder.join("config.json")).unwrap();
    let dense = r#"[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
        {"idx":1,"name":"1","path":"2_Dense","type":"sentence_transformers.models.Dense"}]"#;
    for (file, content, expected) in [
        (
            "config.json",
            config.replace("\"bert\"", "\"roberta\""),
            "`roberta`",
        ),
        (
            "config.json",
            config.replace("absolute", "relative_key"),
            "relative_key",
        ),
        (
            "modules.json",
            dense.to_owned(),
            "sentence_transformers.models.Dense",
        ),
        (
            "1_Pooling/config.json",
            r#"{"pooling_mode_lasttoken":true}"#.to_owned(),
            "mean_tokens",
        ),
        ("tokenizer.json", "{}".to_owned(), "tokenizer.json"),
        (
            "model.safetensors",
            "no weights".to_owned(),
            "model.safetensors",
        ),
    ] {
        let changed = minilm_but(&folder, file, &content);
        let refusal = load(Kind::Bert, changed.path())
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(
            refusal.contains(file) && refusal.contains(expected),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn a_folder_without_a_static_model_is_refused_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let refusal = async || {
        let loaded = load(Kind::Static, folder.path()).await;
        loaded.err().unwrap().to_string()
    };
    let missing = |path: PathBuf| format!("there is no `{}`", path.display());
    assert_eq!(refusal().await, missing(path("model.safetensors")));
    fs::create_dir(path("weights")).unwrap();
    for name in ["weights/a.safetensors", "weights/b.safetensors"] {
        fs::write(path(name), "").unwrap();
    }
    assert!(refusal().await.contains("leave one"));
    fs::write(path("model.safetensors"), "no weights").unwrap();
    assert_eq!(refusal().await, missing(path("tokenizer.json")));
    fs::write(path("tokenizer.json"), "{}").unwrap();
    let refusal = refusal().await;
    assert!(refusal.contains("cannot be used"), "{refusal}");
}

#[tokio::test]
async fn dims_of_wordllama_that_were_not_asked_for_are_refused() {
    let Some(folder) = partners::wordllama() else {
        return;
    };
    let settings = |dims| LocalSettings {
        kind: Kind::Static,
        folder: folder.clone(),
        dims: Some(dims),
        timeout: Duration::from_secs(30),
    };
    let refusal = LocalEmbedder::load(settings(128)).await.err();
    let (asked, found) = (128, 256);
    assert_eq!(refusal, Some(ModelError::Dims { asked, found }));
    assert!(LocalEmbedder::load(settings(256)).await.is_ok());
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
    let configure = |config: &mut memory_service::config::Config| {
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
