//! A killed process loses no acknowledged write.

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::mpsc,
    task::JoinSet,
};
use tonic::Code;
use weft_proto::memory::v1 as pb;

use crate::support::{Calls as _, Client, connect, delete, get, put, value};

const WRITERS: usize = 8;
const ROUNDS: usize = 3;
/// Acknowledged writes after which a process is killed.
const WRITES: usize = 300;

async fn start(folder: &TempDir) -> (Child, Client) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_memory-service"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--log",
            "warn",
        ])
        .arg("--data-dir")
        .arg(folder.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    let client = connect(addresses["grpc"].as_str().unwrap()).await;
    (process, client)
}

/// The last acknowledged and the last attempted state of one key; `None` is deleted.
#[derive(Clone, Default)]
struct Known {
    acknowledged: Option<String>,
    attempted: Option<String>,
}

type Log = Arc<Mutex<BTreeMap<String, Known>>>;

/// Writes and deletes keys of its own until the process goes away.
async fn write(mut client: Client, writer: usize, round: usize, log: Log, done: mpsc::Sender<()>) {
    for step in 0.. {
        let key = format!("{writer}-{}", step % 20);
        let text =
            format!(r#"{{"writer":{writer},"round":{round},"step":{step},"text":"note {step}"}}"#);
        let attempted = (step % 7 != 6).then_some(text);
        log.lock()
            .unwrap()
            .entry(key.clone())
            .or_default()
            .attempted
            .clone_from(&attempted);
        let outcome = match &attempted {
            Some(text) => client.put_item(put("crash", &key, text)).await.map(drop),
            None => client.delete_item(delete("crash", &key)).await.map(drop),
        };
        if outcome.is_err() {
            return;
        }
        log.lock().unwrap().entry(key).or_default().acknowledged = attempted;
        if done.send(()).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_no_acknowledged_write() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    for round in 0..ROUNDS {
        let (mut process, client) = start(&folder).await;
        let (done, mut acknowledged) = mpsc::channel(WRITES);
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(
                client.clone(),
                writer,
                round,
                log.clone(),
                done.clone(),
            ));
        }
        for _ in 0..WRITES {
            acknowledged.recv().await.unwrap();
        }
        process.kill().await.unwrap();
        drop(acknowledged);
        writers.join_all().await;

        let (mut process, mut client) = start(&folder).await;
        let mut present = 0;
        let known = log.lock().unwrap().clone();
        for (key, known) in known {
            let found = match client.get(get("crash", &key)).await {
                Ok(item) => Some(value(&item).to_owned()),
                Err(error) if error.code() == Code::NotFound => None,
                Err(error) => panic!("{error:?}"),
            };
            present += usize::from(found.is_some());
            // A write whose answer was lost may have happened, or not.
            assert!(
                found == known.acknowledged || found == known.attempted,
                "{key}: {found:?}"
            );
            let settled = Known {
                acknowledged: found.clone(),
                attempted: found,
            };
            log.lock().unwrap().insert(key, settled);
        }
        let listed = client.listed(pb::ListNamespacesRequest::default()).await;
        assert_eq!(listed, [format!("crash={present}")]);
        process.kill().await.unwrap();
    }
}
