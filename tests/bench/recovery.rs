//! How soon runs go on after `kill -9`, of the service and of a worker: real processes.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use e2e::{Cluster, Launch, PATIENCE, payload, runs::start, worker::hosts};
use futures::future::try_join_all;
use random_programs::{Argument, ENTRYPOINT, Program};
use tokio::process::Child;
use weft_proto::workflow::v1::{CancelRunRequest, StartRunRequest};

/// Runs that are under way when a process is killed.
const RUNS: usize = 100;
/// Times that each of them is killed.
const KILLS: usize = 9;
/// Time for what a killed service had said to reach its worker; counted.
const SAID: Duration = Duration::from_millis(10);
/// How often the effects are looked at.
const LOOK: Duration = Duration::from_millis(1);

fn worker(cluster: &Cluster, folder: &Path) -> Child {
    let launch = Launch::isolated("program-worker", &cluster.folder().join("worker.log"))
        .argument(cluster.workflow().unwrap().url())
        .argument(folder);
    launch.command().unwrap().spawn().unwrap()
}

/// A run that executes task after task for longer than this takes.
fn run(number: u32) -> StartRunRequest {
    let task = Program::Task {
        number: 1,
        failures: 0,
        takes: Duration::from_millis(20),
    };
    let argument = Argument {
        number,
        program: Program::Sequence(vec![task; 5000]),
    };
    StartRunRequest {
        entrypoint: ENTRYPOINT.to_owned(),
        input: Some(payload::json(&serde_json::json!(argument))),
        ..StartRunRequest::default()
    }
}

/// Bytes of the effects.
fn effects(folder: &Path) -> usize {
    fs::metadata(folder.join("effects")).map_or(0, |file| file.len() as usize)
}

/// How long it took since `begin` that a task ran again after these effects, and that tasks of all
/// runs did.
async fn goes_on(folder: &Path, done: usize, begin: Instant) -> (Duration, Duration) {
    let (mut first, mut runs) = (None, HashSet::new());
    loop {
        let text = fs::read(folder.join("effects")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[done..]);
        let ran = text.lines().filter_map(|line| line.strip_prefix("ran "));
        runs.extend(ran.filter_map(|key| Some(key.split_once('/')?.0.to_owned())));
        if !runs.is_empty() {
            first.get_or_insert(begin.elapsed());
        }
        if let (Some(first), RUNS) = (first, runs.len()) {
            return (first, begin.elapsed());
        }
        assert!(begin.elapsed() < PATIENCE, "not all runs go on");
        tokio::time::sleep(LOOK).await;
    }
}

fn print(what: &str, took: &[(Duration, Duration)]) {
    let show = |mut took: Vec<Duration>| {
        took.sort_unstable();
        let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
        format!("p50 {:.0} ms, longest {:.0} ms", at(50), at(100))
    };
    let first = show(took.iter().map(|(first, _)| *first).collect());
    let all = show(took.iter().map(|(_, all)| *all).collect());
    println!("{what}, {KILLS} times: to the first task {first}; to those of all {RUNS} runs {all}");
}

/// Kills the service, and then the only worker, again and again; each is started again at once.
pub(crate) async fn measure() {
    let mut cluster = Cluster::new().unwrap();
    cluster.keep_workflow_port().unwrap();
    cluster.start_workflow().await.unwrap();
    let folder = cluster.folder().join("programs");
    fs::create_dir(&folder).unwrap();
    let mut of_worker = worker(&cluster, &folder);
    let mut client = cluster.workflow_client().unwrap();
    hosts(&mut client, ENTRYPOINT, 1).await.unwrap();
    let runs = try_join_all((0..RUNS as u32).map(|number| {
        let mut client = client.clone();
        async move { start(&mut client, run(number)).await }
    }));
    let runs = runs.await.unwrap();

    let mut took = Vec::new();
    for _ in 0..KILLS {
        goes_on(&folder, effects(&folder), Instant::now()).await;
        let begin = Instant::now();
        cluster.take_workflow().unwrap().kill().await.unwrap();
        // What it had said before may still be on its way.
        tokio::time::sleep(SAID).await;
        let done = effects(&folder);
        cluster.start_workflow().await.unwrap();
        took.push(goes_on(&folder, done, begin).await);
    }
    print("kill -9 of the service", &took);

    let mut took = Vec::new();
    for _ in 0..KILLS {
        goes_on(&folder, effects(&folder), Instant::now()).await;
        let begin = Instant::now();
        of_worker.kill().await.unwrap();
        let done = effects(&folder);
        of_worker = worker(&cluster, &folder);
        took.push(goes_on(&folder, done, begin).await);
    }
    print("kill -9 of the worker", &took);

    let mut client = cluster.workflow_client().unwrap();
    for run in runs {
        let cancel = CancelRunRequest {
            run_id: run.id,
            reason: String::new(),
        };
        client.cancel_run(cancel).await.unwrap();
    }
    of_worker.kill().await.unwrap();
    cluster.finish().await.unwrap();
}
