//! `make figures`: what a call costs on this machine, one after the other over gRPC on loopback, and
//! what the services hold in memory while they are idle.
#![expect(clippy::print_stdout, reason = "the figures are what it prints")]

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use e2e::{Cluster, Process, chat, payload, process::resident_bytes, runs::invoke};
use serde_json::json;
use weft_proto::{
    memory::v1::{GetItemRequest, PutItemRequest, SearchItemsRequest},
    workflow::v1::StartRunRequest,
};

/// Calls of each kind that are measured, after a tenth as many that are not.
const CALLS: usize = 2000;

#[tokio::main]
async fn main() -> Result<()> {
    let cluster = Cluster::start().await?;
    for process in [cluster.memory()?, cluster.workflow()?] {
        println!(
            "{:<16} {:>7.1} MiB resident, idle",
            process.name(),
            resident_mebibytes(process)?
        );
    }

    let memory = cluster.memory_client()?;
    let namespace = || vec!["figures".to_owned()];
    let put = |number: usize| PutItemRequest {
        namespace: namespace(),
        key: format!("key-{}", number % 1000),
        value: Some(payload::json(
            &json!({ "number": number, "text": "a short note on tea" }),
        )),
        ..PutItemRequest::default()
    };
    let puts = |number| {
        let mut client = memory.clone();
        async move { anyhow::Ok(client.put_item(put(number)).await?) }
    };
    report("PutItem", &measure(puts).await?);
    let gets = |number: usize| {
        let mut client = memory.clone();
        let key = format!("key-{}", number % 1000);
        let get = GetItemRequest {
            namespace: namespace(),
            key,
            ..GetItemRequest::default()
        };
        async move { anyhow::Ok(client.get_item(get).await?) }
    };
    report("GetItem", &measure(gets).await?);
    let searches = |_| {
        let mut client = memory.clone();
        let search = SearchItemsRequest {
            namespace_prefix: namespace(),
            query: "tea".to_owned(),
            ..SearchItemsRequest::default()
        };
        async move { anyhow::Ok(client.search_items(search).await?) }
    };
    report(
        "SearchItems by words, 1000 items",
        &measure(searches).await?,
    );

    let workflow = cluster.workflow_client()?;
    let runs = |number: usize| {
        let mut client = workflow.clone();
        let off = json!({ "user_id": "1", "memory": { "mode": "off" } });
        let run = StartRunRequest {
            config: Some(payload::json(&off)),
            ..chat(&format!("thread-{number}"), "1", "hello")
        };
        async move { anyhow::Ok(invoke(&mut client, run).await?) }
    };
    report("InvokeRun of one task", &measure(runs).await?);
    cluster.finish().await
}

/// How long each call took, in order of length.
async fn measure<T, F: Future<Output = Result<T>>>(
    mut call: impl FnMut(usize) -> F,
) -> Result<Vec<Duration>> {
    let mut durations = Vec::with_capacity(CALLS);
    for number in 0..CALLS + CALLS / 10 {
        let begun = Instant::now();
        call(number).await?;
        durations.push(begun.elapsed());
    }
    durations.drain(..CALLS / 10);
    durations.sort_unstable();
    Ok(durations)
}

fn report(what: &str, durations: &[Duration]) {
    let milliseconds = |share: usize| {
        let index = (durations.len() * share / 100).min(durations.len().saturating_sub(1));
        durations
            .get(index)
            .copied()
            .unwrap_or_default()
            .as_secs_f64()
            * 1e3
    };
    println!(
        "{what:<34} p50 {:>7.3} ms   p99 {:>7.3} ms",
        milliseconds(50),
        milliseconds(99)
    );
}

/// What the kernel says that a process holds in memory.
fn resident_mebibytes(process: &Process) -> Result<f64> {
    let id = process.id().context("the service has ended")?;
    Ok(resident_bytes(id)? as f64 / 1024.0 / 1024.0)
}
