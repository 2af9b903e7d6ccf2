//! What everything came to in the end.

use std::collections::{BTreeMap, HashSet};

use random_programs::Output;
use service_runtime::Tenant;
use weft_worker::CallKind;
use workflow_service::{
    domain::{Durability, EventKind, RunId, TaskStep, ThreadId},
    engine::Engine,
};

use crate::{
    client::{End, Progress},
    plan::Plan,
    retention,
    world::World,
};

pub(crate) async fn check(engine: &Engine, world: &World) {
    let progress = world.state().progress.clone();
    let ends: Vec<(&Plan, &Progress)> = world
        .plans()
        .iter()
        .filter_map(|plan| Some((plan, progress.get(&plan.number)?)))
        .collect();
    for (plan, progress) in &ends {
        world.expect(result(plan, progress));
        if let (Some(id), Some(End::Succeeded(_) | End::Failed(_))) = (progress.id, &progress.end)
            && !world.state().swept.has(id)
        {
            world.expect(events(engine, id, plan).await);
        }
    }
    let mut threads: BTreeMap<&str, Vec<(&Plan, &Progress)>> = BTreeMap::new();
    for end in ends {
        threads.entry(&end.0.thread).or_default().push(end);
    }
    for (thread, runs) in threads {
        let id = ThreadId::parse(thread).unwrap();
        if !world.state().swept.has_thread(&id) {
            world.expect(memory(engine, thread, &runs).await);
        }
    }
    world.expect(effects(world));
    world.expect(retention::check_end(engine, world).await);
}

/// The result is that of an execution without faults.
fn result(plan: &Plan, progress: &Progress) -> Result<(), String> {
    let found = match &progress.end {
        Some(End::Succeeded(output)) => Ok(output.result),
        Some(End::Failed(number)) => Err(*number),
        Some(
            End::Refused
            | End::Cancelled
            | End::Deleted
            | End::LeftBehind
            | End::TimedOut
            | End::Expired,
        ) => return Ok(()),
        None => return Err(format!("run {} has not ended", plan.number)),
    };
    let expected = plan.program.expected();
    match found == expected {
        true => Ok(()),
        false => Err(format!(
            "run {} came to {found:?}, and without faults it comes to {expected:?}",
            plan.number
        )),
    }
}

/// The durable events of a run can be read, each once and in order, and tell of all its results.
async fn events(engine: &Engine, id: RunId, plan: &Plan) -> Result<(), String> {
    let unreadable = |error| format!("the events of run {}: {error:?}", plan.number);
    let tenant = Tenant::default();
    let journal = engine.store().journal(&tenant, id, 0).await;
    let recorded = journal
        .map_err(unreadable)?
        .iter()
        .filter(|call| matches!(call.entry.call.kind, CallKind::Task | CallKind::Target))
        .filter(|call| call.entry.outcome.is_ok())
        .count();
    let follower = engine.follow(&tenant, id, 0).await.map_err(unreadable)?;
    let Some(mut follower) = follower else {
        return Err(format!("run {} has no events", plan.number));
    };
    let (mut last, mut shown) = (0, 0);
    while let Some(event) = follower.next().await.map_err(unreadable)? {
        if event.sequence <= last {
            return Err(format!(
                "event {} of run {} follows event {last}",
                event.sequence, plan.number
            ));
        }
        last = event.sequence;
        let succeeded = matches!(
            &event.kind,
            EventKind::Task {
                step: TaskStep::Succeeded(_),
                ..
            }
        );
        shown += usize::from(succeeded);
    }
    match shown == recorded {
        true => Ok(()),
        false => Err(format!(
            "{recorded} results of run {} are recorded, and {shown} shown",
            plan.number
        )),
    }
}

/// A thread remembers the runs that succeeded on it, each once, and each run found what the ones
/// before had left, unless one of them was made a branch.
async fn memory(engine: &Engine, thread: &str, runs: &[(&Plan, &Progress)]) -> Result<(), String> {
    let id = ThreadId::parse(thread).map_err(str::to_owned)?;
    let found = engine.store().thread(&Tenant::default(), &id).await;
    let found = found.map_err(|error| format!("{thread}: {error:?}"))?;
    let saved = found.and_then(|thread| thread.checkpoint);
    let saved = saved.map_or_else(|| "[]".to_owned(), |it| it.saved.get().to_owned());
    let saved: Vec<u32> = serde_json::from_str(&saved).map_err(|error| error.to_string())?;
    let wrong = |what: String| Err(format!("{thread} remembers {saved:?}: {what}"));
    let distinct: HashSet<_> = saved.iter().collect();
    if distinct.len() != saved.len() {
        return wrong("one run twice".to_owned());
    }
    if runs.iter().any(|(_, progress)| progress.is_branch) {
        return Ok(());
    }
    for (plan, progress) in runs {
        if plan.is_cached {
            match &progress.end {
                Some(End::Succeeded(output)) if !saved.starts_with(&output.before) => {
                    return wrong(format!("run {} found {:?}", plan.number, output.before));
                }
                _ => continue,
            }
        }
        let at = saved.iter().position(|number| *number == plan.number);
        match (&progress.end, at) {
            (Some(End::Succeeded(Output { before, .. })), Some(at)) => {
                if *before != saved[..at] {
                    return wrong(format!("run {} found {before:?}", plan.number));
                }
            }
            (Some(End::Succeeded(_)), None) => {
                return wrong(format!("not run {}, which succeeded", plan.number));
            }
            (Some(End::Deleted | End::Expired), _) | (_, None) => {}
            (end, Some(_)) => return wrong(format!("run {}: {end:?}", plan.number)),
        }
    }
    Ok(())
}

/// No task of a run with SYNC durability ran again after its result was seen.
fn effects(world: &World) -> Result<(), String> {
    let again = world
        .outside()
        .run_again(|run| world.state().durability_of(RunId(run)) == Durability::Sync);
    match again.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} task(s) ran again after their results were seen, such as {first}",
            again.len()
        )),
    }
}
