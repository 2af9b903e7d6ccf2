//! aimock: a double of providers of models that others wrote, with answers of ours.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{http, partner::partner, within};

/// Says where the program is.
const VARIABLE: &str = "WEFT_TEST_AIMOCK";

/// The double, until it is dropped.
#[derive(Debug)]
pub struct Aimock {
    address: String,
    _process: Child,
    // Held so that what it prints does not end it.
    _stdout: Lines<BufReader<ChildStdout>>,
    _folder: TempDir,
}

impl Aimock {
    /// A double that answers by these rules, in aimock's own form. `None` where there is no aimock,
    /// which is said aloud; never in CI.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(fixtures: &Value) -> Result<Option<Self>> {
        let Some(program) = partner(VARIABLE)? else {
            return Ok(None);
        };
        let folder = TempDir::with_prefix("weft-")?;
        let rules = folder.path().join("fixtures.json");
        std::fs::write(&rules, json!({ "fixtures": fixtures }).to_string())?;
        let config = folder.path().join("aimock.json");
        std::fs::write(&config, json!({ "llm": { "fixtures": rules } }).to_string())?;
        let mut process = Command::new(program)
            .args(["--port", "0", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start aimock")?;
        let stdout = process.stdout.take().context("no standard output")?;
        let mut stdout = BufReader::new(stdout).lines();
        let listening = async {
            while let Some(line) = stdout.next_line().await? {
                if let Some((_, address)) = line.split_once("listening on http://") {
                    return Ok(address.to_owned());
                }
            }
            anyhow::bail!("aimock ended before it listened")
        };
        let address = within("aimock to listen", listening).await??;
        Ok(Some(Self {
            address,
            _process: process,
            _stdout: stdout,
            _folder: folder,
        }))
    }

    /// Its URL, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bodies of the requests to a path, oldest first.
    ///
    /// # Errors
    /// If it does not tell.
    pub async fn asked(&self, path: &str) -> Result<Vec<Value>> {
        let journal = http::get(&self.address, "/__aimock/journal").await?;
        let journal: Vec<Value> = serde_json::from_str(&journal.body)?;
        let entries = journal.into_iter().filter(|entry| entry["path"] == path);
        Ok(entries.map(|entry| entry["body"].clone()).collect())
    }
}
