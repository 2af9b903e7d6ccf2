//! What the README says: its commands are run, its tables are compared with the services.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Cluster, Launch,
    cluster::{MEMORY, WORKFLOW},
    grpcurl, within,
};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

const README: &str = include_str!("../../README.md");

/// Blocks of code of the README, as (language, code).
fn blocks() -> Vec<(&'static str, &'static str)> {
    let fenced = README.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

/// The rows of the tables under a heading: what is between backticks in the first columns.
fn rows(heading: &str) -> Result<Vec<Vec<&'static str>>> {
    let (_, section) = README
        .split_once(heading)
        .with_context(|| format!("no `{heading}`"))?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let section = section.split("\n### ").next().unwrap_or_default();
    let table = section.lines().filter(|line| line.starts_with("| `"));
    Ok(table
        .map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect())
}

fn unquoted(cell: &str) -> &str {
    cell.trim().trim_matches('`')
}

/// What differs from one run to the next, as what it is.
fn masked(value: &Value) -> Value {
    let is_time = |text: &str| text.len() > 19 && text.ends_with('Z') && &text[10..11] == "T";
    match value {
        Value::String(text) if Uuid::parse_str(text).is_ok() => "an id".into(),
        Value::String(text) if is_time(text) => "a time".into(),
        Value::Array(values) => values.iter().map(masked).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), masked(value)))
            .collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn grpcurl_prints_what_the_readme_shows() -> Result<()> {
    let cluster = Cluster::start().await?;
    let blocks = blocks();
    let mut compared = 0;
    for pair in blocks.windows(2) {
        let [("sh", line), ("json", shown)] = pair else {
            continue;
        };
        let line = line
            .replace("127.0.0.1:50051", cluster.memory()?.grpc())
            .replace("127.0.0.1:50052", cluster.workflow()?.grpc());
        let output = grpcurl::shell(&line).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{line}: {said}");
        let printed: Vec<Value> = grpcurl::responses(&output.stdout)?
            .iter()
            .map(masked)
            .collect();
        let shown: Vec<Value> = grpcurl::responses(shown.as_bytes())?
            .iter()
            .map(masked)
            .collect();
        assert_eq!(printed, shown, "{line}");
        compared += 1;
    }
    assert_eq!(compared, 4);
    cluster.finish().await
}

#[tokio::test]
async fn grpcurl_finds_the_methods_that_the_readme_lists() -> Result<()> {
    let cluster = Cluster::start().await?;
    for (heading, address, service) in [
        (
            "### MemoryService",
            cluster.memory()?.grpc(),
            "weft.memory.v1.MemoryService",
        ),
        (
            "### WorkflowService",
            cluster.workflow()?.grpc(),
            "weft.workflow.v1.WorkflowService",
        ),
        (
            "### ThreadService",
            cluster.workflow()?.grpc(),
            "weft.workflow.v1.ThreadService",
        ),
        (
            "### WorkerService",
            cluster.workflow()?.grpc(),
            "weft.workflow.v1.WorkerService",
        ),
    ] {
        let listed = grpcurl::run(&["-plaintext", address, "list", service]).await?;
        let listed = String::from_utf8(listed.stdout)?;
        let mut served = BTreeMap::new();
        for method in listed.lines() {
            let called = grpcurl::run(&["-plaintext", "-d", "{}", address, method]).await?;
            let refused = String::from_utf8_lossy(&called.stderr).contains("Code: Unimplemented");
            served.insert(
                method.rsplit('.').next().unwrap_or_default().to_owned(),
                !refused,
            );
        }
        let mut told = BTreeMap::new();
        for row in rows(heading)? {
            let [name, what] = row.as_slice() else {
                panic!("not two columns: {row:?}")
            };
            told.insert(unquoted(name).to_owned(), *what != "not served yet");
        }
        assert_eq!(told, served, "{service}");
    }
    cluster.finish().await
}

#[tokio::test]
async fn the_configuration_tables_show_every_key_and_its_default() -> Result<()> {
    let folder = TempDir::with_prefix("weft-")?;
    for binary in [MEMORY, WORKFLOW] {
        let dump = Launch::isolated(binary, &folder.path().join("log")).argument("--dump-config");
        let output = within("the dump", dump.command()?.output()).await??;
        let (mut defaults, mut table) = (BTreeMap::new(), String::new());
        for line in String::from_utf8(output.stdout)?.lines() {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                table = format!("{name}.");
            } else if let Some((key, value)) = line.split_once(" = ") {
                defaults.insert(format!("{table}{key}"), value.trim_matches('"').to_owned());
            }
        }
        let told: BTreeMap<String, String> = [format!("### {binary}"), "### Both".to_owned()]
            .iter()
            .map(|heading| rows(heading))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .map(|row| (unquoted(row[0]).to_owned(), unquoted(row[1]).to_owned()))
            .collect();
        assert_eq!(told, defaults, "{binary}");
    }
    Ok(())
}
