//! A killed process loses no acknowledged write, and leaves none half done.
//!
//! `WEFT_TEST_KILLS` says how often it is killed, `WEFT_TEST_SEED` when.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
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
use weft_proto::{
    common::v1::PayloadForm,
    memory::v1::{self as pb, batch_operation::Operation},
};

use crate::support::{Calls as _, Client, connect, delete, labels, put, query, text, value};

const WRITERS: usize = 8;
/// Keys of each writer.
const KEYS: usize = 15;
/// How often the process is killed, unless the environment says otherwise.
const KILLS: u64 = 40;
/// Acknowledged writes after which it is killed, at most.
const WRITES: u64 = 120;

async fn start(folder: &TempDir, more: &[&str]) -> (Child, Client) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_memory-service"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--log", "warn", "--data-dir"])
        .arg(folder.path())
        .args(more)
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
async fn write(mut client: Client, writer: usize, round: u64, log: Log, done: mpsc::Sender<()>) {
    let name = |step: usize| format!("{writer}-{}", step % KEYS);
    for step in 0_usize.. {
        let own = format!(r#""writer":{writer},"round":{round},"step":{step}"#);
        let document = format!(r#"{{{own},"text":"load r{round}w{writer}s{step}"}}"#);
        let writes: Vec<(String, Option<String>)> = match step % 7 {
            6 => vec![(name(step), None)],
            // Of a batch each write stands for itself.
            3 => vec![
                (name(step), Some(document.clone())),
                (name(step + 1), None),
                (name(step + 2), Some(document)),
            ],
            _ => vec![(name(step), Some(document))],
        };
        let mut operations = Vec::new();
        for (key, state) in &writes {
            let mut log = log.lock().unwrap();
            let known = log.entry(key.clone()).or_default();
            known.attempted.clone_from(state);
            operations.push(match state {
                Some(document) => Operation::Put(put("crash.load", key, document)),
                None => Operation::Delete(delete("crash.load", key)),
            });
        }
        if perform(&mut client, operations).await.is_err() {
            return;
        }
        for (key, state) in writes {
            log.lock().unwrap().entry(key).or_default().acknowledged = state;
        }
        if done.send(()).await.is_err() {
            return;
        }
    }
}

async fn perform(client: &mut Client, operations: Vec<Operation>) -> Result<(), tonic::Status> {
    let operation = |operation| pb::BatchOperation {
        operation: Some(operation),
    };
    let mut operations = operations.into_iter();
    match (operations.next(), operations.len()) {
        (Some(Operation::Put(put)), 0) => client.put_item(put).await.map(drop),
        (Some(Operation::Delete(delete)), 0) => client.delete_item(delete).await.map(drop),
        (first, _) => {
            let all = first.into_iter().chain(operations).map(operation);
            let operations = all.collect();
            let answer = client.batch(pb::BatchRequest { operations }).await;
            answer.map(drop)
        }
    }
}

/// Everything that is stored, by key.
async fn stored(client: &mut Client) -> BTreeMap<String, String> {
    let request = pb::ListItemsRequest {
        page_size: 1000,
        payload_form: PayloadForm::Text.into(),
        ..Default::default()
    };
    let listed = client.list_items(request).await.unwrap().into_inner();
    let items = listed.items.iter();
    items
        .map(|item| (item.key.clone(), value(item).to_owned()))
        .collect()
}

/// What is stored is what was acknowledged, or attempted after that, and everything about it is
/// there: what finds it by words and by filters, and what counts it.
async fn verify(client: &mut Client, log: &Log) {
    let stored = stored(client).await;
    for (key, known) in log.lock().unwrap().iter_mut() {
        let found = stored.get(key).cloned();
        assert!(
            found == known.acknowledged || found == known.attempted,
            "{key}: {found:?}, but {:?} was acknowledged",
            known.acknowledged
        );
        (known.acknowledged, known.attempted) = (found.clone(), found);
    }
    let by_words = pb::SearchItemsRequest {
        limit: 1000,
        ..query("", "load")
    };
    let by_words: BTreeSet<_> = client.keys(by_words).await.into_iter().collect();
    assert_eq!(by_words, stored.keys().cloned().collect());
    for writer in 0..WRITERS {
        let own = format!("\"writer\":{writer},");
        let expected = stored.values().filter(|value| value.contains(&own)).count();
        let request = pb::CountItemsRequest {
            namespace_prefix: labels("crash"),
            filter: Some(text(&format!("{{{own}\"step\":{{\"$gte\":0}}}}"))),
        };
        let counted = client.count_items(request).await.unwrap().into_inner();
        assert_eq!(counted.count, expected as i64);
    }
    let listed = client.listed(pb::ListNamespacesRequest::default()).await;
    let expected = match stored.len() {
        0 => Vec::new(),
        count => vec![format!("crash.load={count}")],
    };
    assert_eq!(listed, expected);
}

fn number(variable: &str, default: u64) -> u64 {
    let given = env::var(variable).ok();
    given.map_or(default, |text| text.parse().unwrap())
}

/// The next of numbers that follow no order (a linear congruential generator).
fn random(state: &mut u64, below: u64) -> u64 {
    let multiplied = state.wrapping_mul(6_364_136_223_846_793_005);
    *state = multiplied.wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_no_acknowledged_write_and_leaves_none_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    let mut state = number("WEFT_TEST_SEED", 1);
    for round in 0..number("WEFT_TEST_KILLS", KILLS) {
        // Flushes, which take most of the time then, are hit by many of the kills.
        let often: &[&str] = match round % 3 {
            0 => &[],
            1 => &["--sync-interval", "5ms"],
            _ => &["--sync", "always"],
        };
        // So is, of every start and of many deletes, what gives removed items' room back.
        let anew: &[&str] = match round % 2 {
            0 => &[],
            _ => &["--optimise-from", "1"],
        };
        let (mut process, mut client) = start(&folder, &[often, anew].concat()).await;
        verify(&mut client, &log).await;
        let (done, mut acknowledged) = mpsc::channel(WRITERS);
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (client, log, done) = (client.clone(), log.clone(), done.clone());
            writers.spawn(write(client, writer, round, log, done));
        }
        // Without writers nothing is acknowledged any more.
        drop(done);
        for _ in 0..random(&mut state, WRITES) {
            acknowledged.recv().await.unwrap();
        }
        process.kill().await.unwrap();
        drop(acknowledged);
        writers.join_all().await;
    }
    let (mut process, mut client) = start(&folder, &[]).await;
    verify(&mut client, &log).await;
    process.kill().await.unwrap();
}
