//! What must hold in the end.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use e2e::{Events, effects::run_again, events::DURABLE, runs::Workflows};
use weft_proto::workflow::v1::{Durability, event::Kind};

use crate::client::{End, Ended};

/// Judged counts what was looked at.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    runs: usize,
    succeeded: usize,
    failed: usize,
    cancelled: usize,
    results: usize,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs ({} succeeded, {} failed, {} cancelled, others refused or deleted), {} results \
             seen and none run again",
            self.runs, self.succeeded, self.failed, self.cancelled, self.results
        )
    }
}

pub(crate) async fn check(
    workflows: &mut Workflows,
    folder: &Path,
    ended: &[Ended],
) -> Result<Judged> {
    let mut judged = Judged {
        runs: ended.len(),
        ..Judged::default()
    };
    for run in ended {
        match &run.end {
            End::Succeeded(output) => {
                judged.succeeded += 1;
                ensure!(run.plan.program.expected() == Ok(output.result), "{run:?}");
            }
            End::Failed(number) => {
                judged.failed += 1;
                ensure!(run.plan.program.expected() == Err(*number), "{run:?}");
            }
            End::Cancelled => judged.cancelled += 1,
            End::Refused | End::Deleted | End::LeftBehind => {}
        }
        if let (End::Succeeded(_) | End::Failed(_), Some(id)) = (&run.end, &run.run_id) {
            events(workflows, id).await.context(format!("{run:?}"))?;
        }
    }
    let mut threads: BTreeMap<&str, Vec<&Ended>> = BTreeMap::new();
    for run in ended {
        threads.entry(&run.plan.thread).or_default().push(run);
    }
    threads.values().try_for_each(|runs| memory(runs))?;

    let strict: HashSet<&str> = ended
        .iter()
        .filter(|run| run.plan.durability == Durability::Sync)
        .filter_map(|run| run.run_id.as_deref())
        .collect();
    let (again, results) = run_again(folder, |run| strict.contains(run))?;
    ensure!(
        again.is_empty(),
        "ran again after their results were seen: {again:?}"
    );
    judged.results = results;
    Ok(judged)
}

/// The durable events of a run come once and in order, and no result comes twice.
async fn events(workflows: &mut Workflows, id: &str) -> Result<()> {
    let events = Events::join(workflows, id, &DURABLE, 0).await?;
    let events = events.rest().await?;
    ensure!(
        events.is_sorted_by(|a, b| a.sequence < b.sequence),
        "events out of order: {events:?}"
    );
    let mut results = HashSet::new();
    for event in &events {
        if let Some(Kind::Update(update)) = &event.kind {
            let is_new = results.insert(update.task_id.clone());
            ensure!(is_new, "two results of call {}", update.task_id);
        }
    }
    Ok(())
}

/// Each run found what those before it had left, unless one of them was made a branch.
fn memory(runs: &[&Ended]) -> Result<()> {
    if runs.iter().any(|run| run.is_branch) {
        return Ok(());
    }
    let mut outputs: Vec<_> = runs
        .iter()
        .filter(|run| !run.plan.is_cached)
        .filter_map(|run| match &run.end {
            End::Succeeded(output) => Some((run.plan.number, &output.before)),
            _ => None,
        })
        .collect();
    outputs.sort_by_key(|(_, before)| before.len());
    for pair in outputs.windows(2) {
        let [(first, found), (second, then)] = pair else {
            continue;
        };
        ensure!(
            then.starts_with(found) && then[found.len()..].contains(first),
            "run {second} found {then:?}, and run {first} before it {found:?}"
        );
    }
    Ok(())
}
