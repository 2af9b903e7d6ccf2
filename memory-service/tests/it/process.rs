//! The binary: what it refuses to start with, and who may use a folder.

use std::process::{Command, Output};

use crate::{qdrant_server::QdrantServer, support::Running};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_memory-service"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--log",
            "error",
        ])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn what_this_version_cannot_do_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    for (arguments, expected) in [
        (
            ["--qdrant-url", "localhost:6334"],
            "--qdrant-url localhost:6334",
        ),
        (
            ["--qdrant-url", "http://127.0.0.1:1"],
            "Qdrant at `http://127.0.0.1:1`",
        ),
        (
            ["--embedder", "static:weights"],
            "there is no `weights/model.safetensors`",
        ),
        (["--embedder", "potion"], "--embedder potion"),
        (["--hybrid-fusion", "sum"], "hybrid_fusion"),
        (
            ["--hybrid-semantic-weight", "1.5"],
            "--hybrid-semantic-weight",
        ),
        (["--index-paths", "a..b"], "`a..b` has an empty segment"),
    ] {
        let output = run(&[arguments.as_slice(), &["--data-dir", data]].concat());
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(
            complaint.contains(expected) && complaint.lines().count() == 1,
            "{complaint}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_path_buf();
    let running = Running::start_on(None, |config| config.data_dir.clone_from(&data)).await;
    let output = run(&["--data-dir", data.to_str().unwrap()]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        complaint.contains(data.to_str().unwrap()) && complaint.contains("in use"),
        "{complaint}"
    );
    drop(running);
}

#[test]
fn a_command_names_the_server_that_is_away() {
    let output = run(&["--qdrant-url", "http://127.0.0.1:1", "reindex"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(complaint.contains("http://127.0.0.1:1"), "{complaint}");
}

#[test]
fn flags_become_configuration() {
    let output = run(&[
        "--default-ttl",
        "30days",
        "--refresh-ttl-on-read",
        "--index-paths",
        "text,{a,b}",
        "--dump-config",
    ]);
    let dumped = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{dumped}");
    assert!(dumped.contains("refresh_ttl_on_read = true"), "{dumped}");
    assert!(dumped.contains("default_ttl = \"30days\""), "{dumped}");
    assert!(dumped.contains("text,{a,b}"), "{dumped}");
}

#[test]
fn the_key_of_the_qdrant_server_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "s3cret").unwrap();
    // It is sent, and refused; every frame of that is logged.
    let server = QdrantServer::double(|settings| settings.api_key = Some("another".into()));
    let url = ["--qdrant-url", &server.url, "--log", "trace"];
    let in_file = ["--qdrant-api-key-file", file.to_str().unwrap()];
    for (arguments, variable) in [
        ([url.as_slice(), &in_file].concat(), ""),
        (url.to_vec(), "s3cret"),
        (vec!["--dump-config"], "s3cret"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_memory-service"));
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.args(arguments);
        if !variable.is_empty() {
            command.env("WEFT_QDRANT_API_KEY", variable);
        }
        let output = command.output().unwrap();
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            shown.contains("Invalid API key") || shown.contains("[redacted]"),
            "{shown}"
        );
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn the_key_of_the_embedder_comes_from_the_environment_and_is_never_shown() {
    let output = Command::new(env!("CARGO_BIN_EXE_memory-service"))
        .arg("--dump-config")
        .env("WEFT_EMBEDDING_API_KEY", "s3cret")
        .env("WEFT_CANCEL_GRACE", "10s")
        .output()
        .unwrap();
    let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{shown}");
    assert!(
        shown.contains(r#"embedding_api_key = "[redacted]""#),
        "{shown}"
    );
    assert!(!shown.contains("s3cret"), "{shown}");
}
