//! Statements on `interrupts`: what runs ask, and the answers until they are recorded.
//!
//! A question is open until it is answered, also while its run goes on, because another one was
//! answered or its worker was lost. Only the dispatch under way adds to a journal, in its own order, so
//! that an answer stays beside its question until the run is claimed next.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use service_runtime::Tenant;
use weft_worker::{
    Call, CallId, CallKind, Json, Usage,
    protocol::{JournalEntry, Question},
};

use super::{
    StoreError,
    blobs::{self, text_of},
    journal, queue,
    rows::JsonText,
};
use crate::{
    domain::{Interrupt, Origin, Run, RunId, RunState, ThreadId, Timestamp, history::RecordedCall},
    store::Answers,
};

/// The open questions of a run, in the order of their ids.
pub(super) fn open(db: &Connection, run: RunId) -> Result<Vec<Interrupt>, StoreError> {
    let interrupts = db
        .prepare_cached(concat!(
            "SELECT call_id, asked_by, ",
            text_of!("value"),
            " FROM interrupts WHERE run_id = ?1 AND answer IS NULL ORDER BY call_id"
        ))?
        .query_map([run], |row| {
            Ok(Interrupt {
                id: CallId::from_recorded(row.get_ref(0)?.as_str()?),
                task: row.get(1)?,
                value: row.get::<_, JsonText>(2)?.0,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(interrupts)
}

/// The open questions on a thread: those of the run that has it, or has begun and waits for it.
pub(super) fn of_thread(
    db: &Connection,
    tenant: &Tenant,
    thread: &ThreadId,
) -> Result<Vec<Interrupt>, StoreError> {
    let mut questions = Vec::new();
    for run in queue::begun(db, tenant, thread)? {
        questions.append(&mut open(db, run)?);
    }
    Ok(questions)
}

/// Whether a run in this state may have open questions. One that was handed out for the first time has
/// asked nothing yet.
pub(super) fn may_be_open(state: RunState, attempt: u32) -> bool {
    match state {
        RunState::Interrupted => true,
        RunState::Queued => attempt > 0,
        RunState::Running => attempt > 1,
        _ => false,
    }
}

/// Notes what a run asks now, and whether some of that was answered before.
pub(super) fn ask(db: &Connection, run: RunId, questions: &[Question]) -> Result<bool, StoreError> {
    forget_open(db, run)?;
    // One that was answered stays as it was: if it is another one now, the replay finds that.
    let mut insert = db.prepare_cached(
        "INSERT INTO interrupts (run_id, call_id, task, asked_by, input_hash, value) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?;
    let mut is_answered = false;
    for Question {
        call,
        asked_by,
        value,
    } in questions
    {
        let value = blobs::keep(db, value.get())?;
        let inserted = insert.execute(params![
            run,
            call.id.as_str(),
            &*call.task,
            asked_by.as_deref(),
            call.input_hash,
            value,
        ])?;
        if inserted == 0 {
            blobs::drop_unused(db, value)?;
            is_answered = true;
        }
    }
    Ok(is_answered)
}

/// What becomes of the questions of a run that has left its worker.
pub(super) fn settled(db: &Connection, run: &Run) -> Result<(), StoreError> {
    match run.state {
        // It has asked nothing before.
        _ if run.attempt <= 1 => Ok(()),
        RunState::Interrupted | RunState::Queued => Ok(()),
        RunState::Succeeded => forget(db, run.id),
        _ => forget_open(db, run.id),
    }
}

/// The run asks nothing any longer. What was answered stays: it may be retried, and ask that again.
pub(super) fn forget_open(db: &Connection, run: RunId) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM interrupts WHERE run_id = ?1 AND answer IS NULL")?
        .execute([run])?;
    Ok(())
}

fn forget(db: &Connection, run: RunId) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM interrupts WHERE run_id = ?1")?
        .execute([run])?;
    Ok(())
}

/// Notes answers, if all of them answer something.
pub(super) fn answer(db: &Connection, run: &Run, answers: Answers) -> Result<(), StoreError> {
    for (call, answer) in by_id(db, run, answers)? {
        let answer = blobs::keep(db, answer.get())?;
        db.prepare_cached("UPDATE interrupts SET answer = ?3 WHERE run_id = ?1 AND call_id = ?2")?
            .execute(params![run.id, call.as_str(), answer])?;
    }
    Ok(())
}

fn by_id(
    db: &Connection,
    run: &Run,
    answers: Answers,
) -> Result<BTreeMap<CallId, Json>, StoreError> {
    match answers {
        Answers::Only(answer) => match run.interrupts.as_slice() {
            [only] => Ok(BTreeMap::from([(only.id.clone(), answer)])),
            [] => Err(StoreError::WrongState {
                id: run.id,
                state: run.state,
                required: "INTERRUPTED",
            }),
            several => Err(StoreError::AmbiguousAnswer {
                run: run.id,
                count: several.len(),
            }),
        },
        Answers::ById(answers) => {
            let unknown = answers
                .keys()
                .find(|id| !run.interrupts.iter().any(|interrupt| interrupt.id == **id));
            match unknown {
                Some(id) => Err(StoreError::NoSuchInterrupt {
                    run: run.id,
                    interrupt: id.as_str().to_owned(),
                    was_answered: was_answered(db, run.id, id)?,
                    open: run
                        .interrupts
                        .iter()
                        .map(|interrupt| interrupt.id.as_str().to_owned())
                        .collect(),
                }),
                None => Ok(answers),
            }
        }
    }
}

fn was_answered(db: &Connection, run: RunId, id: &CallId) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT 1 FROM interrupts WHERE run_id = ?1 AND call_id = ?2 \
             UNION ALL SELECT 1 FROM journal WHERE run_id = ?1 AND call_id = ?2 AND kind = ?3",
        )?
        .query_row(
            params![run, id.as_str(), journal::kind_name(CallKind::Interrupt)],
            |_| Ok(()),
        )
        .optional()?
        .is_some())
}

/// Records the answers that a run was given since it was claimed last.
pub(super) fn record_answers(
    db: &Connection,
    run: RunId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let answered = db
        .prepare_cached(concat!(
            "SELECT call_id, task, input_hash, ",
            text_of!("answer"),
            " FROM interrupts WHERE run_id = ?1 AND answer IS NOT NULL ORDER BY call_id"
        ))?
        .query_map([run], |row| {
            Ok(JournalEntry {
                call: Call {
                    id: CallId::from_recorded(row.get_ref(0)?.as_str()?),
                    kind: CallKind::Interrupt,
                    task: row.get(1)?,
                    input_hash: row.get(2)?,
                },
                outcome: Ok(row.get::<_, JsonText>(3)?.0),
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    if answered.is_empty() {
        return Ok(());
    }
    let (sequence, commit_sequence) = journal::next_numbers(db, run)?;
    // Of no events, as answers bring none.
    let recorded: Vec<RecordedCall> = (commit_sequence..)
        .zip(answered)
        .map(|(commit_sequence, entry)| RecordedCall {
            entry,
            commit_sequence,
            sequence,
            attempt: 1,
            time: now,
            origin: Origin::Executed(None),
            usage: Usage::default(),
        })
        .collect();
    journal::insert(db, run, &recorded)?;
    db.prepare_cached("DELETE FROM interrupts WHERE run_id = ?1 AND answer IS NOT NULL")?
        .execute([run])?;
    Ok(())
}
