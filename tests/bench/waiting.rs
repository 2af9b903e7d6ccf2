//! What a run costs that waits for an answer, and what its answer costs.

use std::{
    fs,
    path::Path,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use e2e::{payload, process::resident_bytes, runs::Workflows};
use futures::future::join_all;
use weft_proto::workflow::v1::{
    InvokeRunRequest, ResumeRunRequest, StartRunRequest, WaitRunRequest,
    resume_run_request::Resume, run::State,
};

use crate::number;

/// Callers that start runs at once.
const CALLERS: usize = 64;

/// Runs `ask` until it asks; returns its id.
async fn ask(mut client: Workflows, steps: u32) -> String {
    let start = StartRunRequest {
        entrypoint: "ask".to_owned(),
        input: Some(payload::text(steps.to_string())),
        ..StartRunRequest::default()
    };
    let request = InvokeRunRequest {
        start: Some(start),
        ..InvokeRunRequest::default()
    };
    let invoked = client.invoke_run(request).await.unwrap().into_inner();
    let run = invoked.run.unwrap();
    assert_eq!(run.state(), State::Interrupted);
    run.id
}

/// Memory and disk of runs that wait for answers. `WEFT_BENCH_WAITING` says how many, 100,000 by
/// default.
pub(crate) async fn memory(client: &Workflows, store: &Path) {
    let runs: u32 = number("WEFT_BENCH_WAITING").unwrap_or(100_000);
    let (resident, stored) = (resident(), size(store));
    let (left, begin) = (AtomicU32::new(runs), Instant::now());
    let callers = (0..CALLERS).map(|_| async {
        let take = |left: u32| left.checked_sub(1);
        let order = Ordering::Relaxed;
        while left.fetch_update(order, order, take).is_ok() {
            ask(client.clone(), 0).await;
        }
    });
    join_all(callers).await;
    let each = |bytes: u64| bytes as f64 / f64::from(runs);
    println!(
        "{runs} runs that wait for an answer: {:.0} bytes of memory and {:.0} of disk each ({:.0} s)",
        each(self::resident().saturating_sub(resident)),
        each(size(store).saturating_sub(stored)),
        begin.elapsed().as_secs_f64(),
    );
}

fn resident() -> u64 {
    resident_bytes(process::id()).unwrap()
}

/// Bytes of all files of a folder.
fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

/// How long it takes from an answer to the end of a run that has recorded so many steps, and has
/// them all replayed.
pub(crate) async fn replay(client: &Workflows) {
    for steps in [10, 100, 1000, 10_000] {
        let run_id = ask(client.clone(), steps).await;
        let mut client = client.clone();
        let begin = Instant::now();
        let answer = ResumeRunRequest {
            run_id: run_id.clone(),
            resume: Some(Resume::Answer(payload::text("true"))),
        };
        client.resume_run(answer).await.unwrap();
        let wait = WaitRunRequest {
            run_id,
            ..WaitRunRequest::default()
        };
        let run = client.wait_run(wait).await.unwrap().into_inner().run;
        assert_eq!(run.unwrap().state(), State::Succeeded);
        println!(
            "an answer to a run of {steps} steps: {:.2} ms to its end",
            begin.elapsed().as_secs_f64() * 1e3
        );
    }
}
