//! Folders of models: how they may be laid out, what in them counts, what is wrong with them, and the
//! data that belongs to them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use memory_service::{
    MemoryService,
    config::Config,
    embed::{
        Embedder as _, LocalEmbedder,
        local::{Kind, LocalSettings},
        model::ModelError,
    },
};
use serde_json::json;
use service_runtime::Service as _;
use tempfile::TempDir;

use crate::{
    local_models::{assert_references, difference, load, wordllama_references},
    partners,
};

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
async fn vectors_of_other_than_finite_numbers_are_refused_whatever_the_model_says() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "WordLevel",
            "vocab": {"[UNK]": 0, "probe": 1, "broken": 2},
            "unk_token": "[UNK]",
        },
    });
    write("tokenizer.json", tokenizer.to_string().as_bytes());
    let header = json!({"embeddings": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}});
    let header = header.to_string();
    let rows = [0.0, 0.0, 1.0, 0.0, f32::NAN, 0.0_f32];
    let mut weights = (header.len() as u64).to_le_bytes().to_vec();
    weights.extend(header.into_bytes());
    weights.extend(rows.map(f32::to_le_bytes).concat());
    write("model.safetensors", &weights);
    let embedder = load(Kind::Static, folder.path()).await.unwrap();
    let embed = async |text: &str| embedder.embed_documents(&[text.to_owned()]).await;
    assert_eq!(embed("probe").await, Ok(vec![vec![1.0, 0.0]]));
    let refusal = embed("probe broken").await.unwrap_err().to_string();
    assert!(refusal.contains("finite numbers"), "{refusal}");
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

#[tokio::test]
async fn data_made_with_wordllama_goes_with_the_model_wherever_its_folder_is() {
    let Some(folder) = partners::wordllama() else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let serve = async |folder: &Path, change: &dyn Fn(&mut Config)| {
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data.path().into(),
            embedder: format!("static:{}", folder.display()),
            ..Config::default()
        };
        change(&mut config);
        let service = MemoryService::bind(config).await?;
        service.serve(std::future::ready(())).await
    };
    serve(&folder, &|_| {}).await.unwrap();
    let [weights, tokenizer] = WORDLLAMA;
    let names = ["model.safetensors", "tokenizer.json"];
    let moved = links(&folder, &[(weights, names[0]), (tokenizer, names[1])]);
    serve(moved.path(), &|_| {}).await.unwrap();

    // Another model, although its vectors have as many dimensions.
    let other = links(&folder, &[(weights, names[0]), (tokenizer, names[1])]);
    fs::write(other.path().join("config.json"), r#"{"normalize":false}"#).unwrap();
    let refusal = serve(other.path(), &|_| {}).await.unwrap_err().to_string();
    assert_eq!(refusal.matches("`static:").count(), 2, "{refusal}");
    for (change, named) in [
        (
            &(|config: &mut Config| config.embedder = "none".into()) as &dyn Fn(&mut Config),
            "`none`",
        ),
        (
            &|config: &mut Config| config.embedding_template = "{key} {text}".into(),
            "`{key} {text}`",
        ),
    ] {
        let refusal = serve(&folder, change).await.unwrap_err().to_string();
        assert!(
            refusal.contains("`static:") && refusal.contains(named),
            "{refusal}"
        );
    }
}
