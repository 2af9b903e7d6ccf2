//! A small engine at the other end of a link in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;
use uuid::Uuid;
use weft_worker::{
    Entrypoint, Failure, Worker, json,
    protocol::{
        EngineLink, ExecutionId, Finish, FromWorker, JournalEntry, StartRun, Suspend, ToWorker,
        WorkerMessage, in_memory_link,
    },
};

/// Long enough for any of these on a loaded machine; only a hang takes it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts how often something ran.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicU32>);

impl Count {
    pub(crate) fn up(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// An engine that records what it is told and acknowledges it at once.
pub(crate) struct Engine {
    pub(crate) link: EngineLink,
    pub(crate) journal: Vec<JournalEntry>,
}

impl Engine {
    /// Hands a run with this journal to a worker that hosts `entrypoint`.
    pub(crate) async fn start(entrypoint: Entrypoint, journal: Vec<JournalEntry>) -> Self {
        let (worker_link, link) = in_memory_link();
        let worker = Worker::new().entrypoint(entrypoint);
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with the link, at the end of the test"
        )]
        tokio::spawn(worker.serve(worker_link));
        let start = StartRun {
            execution: ExecutionId(1),
            run_id: Uuid::nil(),
            thread_id: "thread".into(),
            entrypoint: "test".into(),
            version: "1".into(),
            attempt: 1,
            input: json::null(),
            previous: None,
            config: json::from_text("{}").unwrap(),
            journal: journal.clone(),
        };
        link.outbox
            .send(ToWorker::StartRun(Box::new(start)))
            .await
            .unwrap();
        Self { link, journal }
    }

    pub(crate) async fn hear(&mut self) -> WorkerMessage {
        let FromWorker { message, .. } = timeout(PATIENCE, self.link.inbox.recv())
            .await
            .unwrap()
            .unwrap();
        message
    }

    pub(crate) async fn next_record(&mut self) -> JournalEntry {
        loop {
            if let WorkerMessage::Record(record) = self.hear().await {
                return JournalEntry {
                    call: record.call,
                    outcome: record.outcome,
                };
            }
        }
    }

    pub(crate) async fn ack(&mut self, entry: JournalEntry) {
        self.journal.push(entry.clone());
        let (call, outcome) = (entry.call.id, entry.outcome);
        let ack = ToWorker::Ack {
            execution: ExecutionId(1),
            call,
            outcome,
        };
        self.link.outbox.send(ack).await.unwrap();
    }

    /// Records all, until the run finishes.
    pub(crate) async fn finish(self) -> (Finish, Vec<JournalEntry>) {
        match self.last_word().await {
            (WorkerMessage::Finish(finish), journal) => (*finish, journal),
            (other, _) => panic!("the run does not finish: {other:?}"),
        }
    }

    /// Records all, until the run suspends.
    pub(crate) async fn suspend(self) -> (Suspend, Vec<JournalEntry>) {
        match self.last_word().await {
            (WorkerMessage::Suspend(suspend), journal) => (*suspend, journal),
            (other, _) => panic!("the run does not suspend: {other:?}"),
        }
    }

    async fn last_word(mut self) -> (WorkerMessage, Vec<JournalEntry>) {
        loop {
            match self.hear().await {
                WorkerMessage::Event(_) => {}
                WorkerMessage::Record(record) => {
                    let entry = JournalEntry {
                        call: record.call,
                        outcome: record.outcome,
                    };
                    self.ack(entry).await;
                }
                last => return (last, self.journal),
            }
        }
    }
}

pub(crate) async fn run(
    entrypoint: Entrypoint,
    journal: Vec<JournalEntry>,
) -> (Finish, Vec<JournalEntry>) {
    Engine::start(entrypoint, journal).await.finish().await
}

pub(crate) fn value(finish: &Finish) -> String {
    match finish {
        Finish::Returned { value, .. } => value.get().to_owned(),
        other => panic!("the run did not return: {other:?}"),
    }
}

pub(crate) fn mismatch(finish: Finish) -> Failure {
    match finish {
        Finish::Mismatch(failure) => failure,
        other => panic!("the run does not mismatch: {other:?}"),
    }
}
