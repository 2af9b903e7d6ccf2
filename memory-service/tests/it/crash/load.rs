//! What is written until the process is killed, and what came of it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{sync::mpsc, task::JoinSet};
use tonic::Status;
use weft_proto::memory::v1::{self as pb, batch_operation::Operation};

use super::{service::Service, within};
use crate::support::{Client, delete, labels, put};

/// Writers, each with keys of its own.
pub(super) const WRITERS: usize = 4;
/// Keys of each writer.
const KEYS: usize = 8;
/// Items of the namespace that is deleted again and again.
const PURGED: usize = 150;

/// The last acknowledged and the last attempted state of one item; `None` is deleted.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) acknowledged: Option<String>,
    pub(super) attempted: Option<String>,
}

/// A namespace and a key.
pub(super) type Name = (&'static str, String);

/// What the client knows of each item.
pub(super) type Log = Arc<Mutex<BTreeMap<Name, Known>>>;

/// Writes of one call, each of which stands for itself.
type Writes = Vec<(Name, Option<String>)>;

/// Where writers have their items.
const KEPT: &str = "crash.load";
/// What is deleted again and again.
const DELETED: &str = "crash.deleted";

/// Writers that go on until the process has gone.
pub(super) struct Load {
    writers: JoinSet<()>,
    acknowledged: mpsc::Receiver<()>,
    ends: Arc<AtomicBool>,
}

impl Load {
    /// Begins to write. What is written tells the round.
    pub(super) fn start(service: &Service, log: &Log, round: u64) -> Self {
        let (done, acknowledged) = mpsc::channel(WRITERS);
        let ends = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        let mut start = |number: usize| {
            let writer = Writer {
                client: service.client.clone(),
                number,
                round,
                log: log.clone(),
                done: done.clone(),
                ends: ends.clone(),
            };
            match number {
                WRITERS => writers.spawn(writer.delete_namespaces()),
                _ => writers.spawn(writer.write()),
            };
        };
        (0..WRITERS).for_each(&mut start);
        // They take long, and leave the others less to do.
        if round.is_multiple_of(3) {
            start(WRITERS);
        }
        Self {
            writers,
            acknowledged,
            ends,
        }
    }

    /// Waits for so many acknowledgements.
    pub(super) async fn acknowledged(&mut self, count: u64) {
        for _ in 0..count {
            let one = within("a write to be acknowledged", self.acknowledged.recv());
            one.await.unwrap();
        }
    }

    /// From now on calls may fail.
    pub(super) fn expect_the_end(&self) {
        self.ends.store(true, Ordering::SeqCst);
    }

    /// Waits until all writers have found out.
    pub(super) async fn end(self) {
        drop(self.acknowledged);
        let ended = self.writers.join_all();
        within("the writers to find out that the process is gone", ended).await;
    }
}

struct Writer {
    client: Client,
    number: usize,
    round: u64,
    log: Log,
    done: mpsc::Sender<()>,
    ends: Arc<AtomicBool>,
}

impl Writer {
    /// Writes and deletes keys of its own.
    async fn write(mut self) {
        let Self { number, round, .. } = self;
        for step in 0_usize.. {
            let name = |step: usize| (KEPT, format!("{number}-{}", step % KEYS));
            let own = format!(r#""writer":{number},"round":{round},"step":{step}"#);
            let text = format!("load of a car r{round}w{number}s{step}");
            let document = Some(format!(r#"{{{own},"text":"{text}"}}"#));
            let writes = match step % 7 {
                6 => vec![(name(step), None)],
                3 => vec![
                    (name(step), document.clone()),
                    (name(step + 1), None),
                    (name(step + 2), document),
                ],
                _ => vec![(name(step), document)],
            };
            if !self.perform(writes).await {
                return;
            }
        }
    }

    /// Fills a namespace and deletes it.
    async fn delete_namespaces(mut self) {
        let Self { number, round, .. } = self;
        for step in 0_usize.. {
            let name = |item: usize| (DELETED, item.to_string());
            let document = |item: usize| {
                let own = format!(r#""writer":{number},"round":{round},"step":{step}"#);
                format!(r#"{{{own},"item":{item},"text":"load of a car r{round}d{step}"}}"#)
            };
            let puts = (0..PURGED).map(|item| (name(item), Some(document(item))));
            let gone = (0..PURGED).map(|item| (name(item), None));
            if !self.perform(puts.collect()).await || !self.perform(gone.collect()).await {
                return;
            }
        }
    }

    /// Whether the writes were acknowledged, and more are wanted.
    async fn perform(&mut self, writes: Writes) -> bool {
        self.note(&writes, |known, state| known.attempted = state);
        if let Err(status) = self.send(&writes).await {
            let ends = self.ends.load(Ordering::SeqCst);
            assert!(
                ends,
                "a write failed before the process was killed: {status}"
            );
            return false;
        }
        self.note(&writes, |known, state| known.acknowledged = state);
        self.done.send(()).await.is_ok()
    }

    fn note(&self, writes: &Writes, note: impl Fn(&mut Known, Option<String>)) {
        let mut log = self.log.lock().unwrap();
        for (name, state) in writes {
            note(log.entry(name.clone()).or_default(), state.clone());
        }
    }

    async fn send(&mut self, writes: &Writes) -> Result<(), Status> {
        let client = &mut self.client;
        match writes.as_slice() {
            [((namespace, key), Some(document))] => {
                client.put_item(put(namespace, key, document)).await?;
            }
            [((namespace, key), None)] => {
                client.delete_item(delete(namespace, key)).await?;
            }
            all if all.iter().all(|(_, state)| state.is_none()) => {
                let request = pb::DeleteNamespaceRequest {
                    namespace_prefix: labels(DELETED),
                };
                client.delete_namespace(request).await?;
            }
            all => {
                let operation = |((namespace, key), state): &(Name, Option<String>)| {
                    let operation = match state {
                        Some(document) => Operation::Put(put(namespace, key, document)),
                        None => Operation::Delete(delete(namespace, key)),
                    };
                    pb::BatchOperation {
                        operation: Some(operation),
                    }
                };
                let operations = all.iter().map(operation).collect();
                client.batch(pb::BatchRequest { operations }).await?;
            }
        }
        Ok(())
    }
}
