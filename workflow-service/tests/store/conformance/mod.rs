//! The suite. Each test is given an empty store.

pub(crate) mod dispatches;
pub(crate) mod entrypoints;
pub(crate) mod journal;
pub(crate) mod pruning;
pub(crate) mod questions;
pub(crate) mod replacements;
pub(crate) mod retention;
pub(crate) mod retries;
pub(crate) mod runs;
pub(crate) mod stops;
pub(crate) mod threads;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use service_runtime::Tenant;
use weft_worker::{Call, CallId, CallKind, Failure, Usage, json, protocol::JournalEntry};
use workflow_service::{
    domain::{
        Concurrency, Durability, Origin, RunId, ThreadId, Timestamp, checkpoint::CheckpointValues,
        history::RecordedCall,
    },
    store::{CheckpointStore, Dispatch, EntrypointVersion, NewRun, Rest, RunEnd, StartedRun},
};

pub(crate) type Store = Arc<dyn CheckpointStore>;

/// Makes a test of each function of the suite, for a store that `$open` opens.
macro_rules! conformance {
    ($open:expr => $($topic:ident: $($name:ident),* $(,)?;)*) => {$($(
        #[tokio::test]
        async fn $name() {
            let (store, _keep) = $open;
            crate::conformance::$topic::$name(store).await;
        }
    )*)*};
}
pub(crate) use conformance;

pub(crate) fn tenant() -> Tenant {
    Tenant::default()
}

pub(crate) fn thread(name: &str) -> ThreadId {
    ThreadId::parse(name).unwrap()
}

pub(crate) fn new_run(thread_name: &str) -> NewRun {
    NewRun {
        id: RunId::new(),
        thread_id: thread(thread_name),
        entrypoint: "test".into(),
        version: "1".into(),
        input: json::from_text(r#"{"b":1.0,"a":12345678901234567890123}"#).unwrap(),
        config: json::from_text("{}").unwrap(),
        labels: BTreeMap::new(),
        branch_from: None,
        concurrency: Concurrency::Enqueue,
        durability: Durability::Sync,
        timeout: None,
        start_after: None,
        request: None,
        claim: true,
        now: Timestamp::now(),
    }
}

pub(crate) async fn claimed(store: &Store, run: NewRun) -> Dispatch {
    match store.start_run(&tenant(), run).await.unwrap().started {
        StartedRun::Claimed(dispatch) => *dispatch,
        other => panic!("the run was not claimed: {other:?}"),
    }
}

pub(crate) async fn queued(store: &Store, run: NewRun) -> RunId {
    match store.start_run(&tenant(), run).await.unwrap().started {
        StartedRun::Queued(run) => run.id,
        other => panic!("the run was not queued: {other:?}"),
    }
}

pub(crate) fn record(order: u32, result: &str) -> RecordedCall {
    let call = Call {
        id: CallId::new(None, order),
        kind: CallKind::Task,
        task: "task".into(),
        input_hash: [7; 32],
    };
    let outcome = Ok(json::from_text(result).unwrap());
    RecordedCall {
        entry: JournalEntry { call, outcome },
        commit_sequence: order,
        sequence: 3 + 2 * i64::from(order),
        attempt: 1,
        time: Timestamp::now(),
        origin: Origin::Executed(None),
        usage: Usage::default(),
    }
}

pub(crate) fn succeeded(saved: &str) -> Rest {
    let value = json::from_text(r#""value""#).unwrap();
    let saved = json::from_text(saved).unwrap();
    let end = RunEnd::Succeeded {
        values: CheckpointValues::new(&value, &saved),
        origin: Origin::Executed(None),
    };
    Rest {
        end,
        last_sequence: 100,
        executed: Duration::ZERO,
        now: Timestamp::now(),
    }
}

pub(crate) fn failed() -> Rest {
    let end = RunEnd::Failed(
        Failure::new("BROKEN", "broken").of_call(&CallId::new(None, 0), &"task".into()),
    );
    Rest {
        end,
        last_sequence: 100,
        executed: Duration::ZERO,
        now: Timestamp::now(),
    }
}

pub(crate) async fn claims(store: &Store, limit: u32) -> Vec<Dispatch> {
    store
        .claim_runs(hosted(), limit, Timestamp::now())
        .await
        .unwrap()
        .dispatches
}

fn hosted() -> Vec<EntrypointVersion> {
    vec![EntrypointVersion {
        name: "test".into(),
        version: "1".into(),
    }]
}
