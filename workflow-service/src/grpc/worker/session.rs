//! One worker process, over as many streams as it takes.
//!
//! # Layout
//! - `lifetime`: from its first stream to its end
//! - `queue`: messages that wait for room

mod lifetime;
mod queue;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use prost::Message as _;
use weft_proto::workflow::v1::{
    self as pb, ConnectRequest, ConnectResponse, connect_request::Message as Heard,
    connect_response::Message as Said,
};
use weft_worker::{
    CallId,
    protocol::{ExecutionId, FromWorker, ToWorker, WorkerLink, WorkerMessage},
    wire::{Delivery, Malformed, encode},
};

use self::queue::Queue;
use super::{Arrival, WorkerTimes, message, task};
use crate::engine::Hosting;

/// Heartbeats in a row that may leave an execution out: the first one may have been under way
/// before the worker heard of the execution.
const MAX_MISSED: u32 = 2;
/// Heartbeats that nobody asked for before they are a flood.
const MAX_UNASKED: u32 = 100;

/// Session is one worker process, as this service knows it. Towards the engine it is a worker on an
/// in-memory link.
pub(super) struct Session {
    pub(super) times: WorkerTimes,
    pub(super) link: WorkerLink,
    /// Whether it outlives its streams. If not, nothing is numbered.
    is_resumable: bool,
    /// Names of the entrypoints that are strict.
    strict: HashSet<Arc<str>>,
    hosting: Hosting,
    delivery: Delivery<ConnectResponse>,
    executions: HashMap<ExecutionId, Assigned>,
    /// A ping was sent that is not answered.
    pub(super) is_asked: bool,
    unasked: u32,
    /// Messages for the engine that wait for room, the oldest first.
    pub(super) arrived: Queue<FromWorker>,
    /// Messages for the worker that wait for room.
    pub(super) leaving: Queue<ConnectResponse>,
}

/// An execution that the worker was given and that is not fenced.
#[derive(Debug, Default)]
struct Assigned {
    journal: message::Journal,
    /// Heartbeats in a row that left it out.
    missed: u32,
    /// The call, if it is of a task on offer.
    of_task: Option<CallId>,
    /// Its last word was said.
    has_ended: bool,
    /// What the worker is told when it is fenced.
    reason: String,
}

impl Session {
    /// Goes on with a new stream, unless the worker missed what is not kept any more.
    fn resume(&mut self, arrival: Box<Arrival>) -> Result<super::Stream, Box<Arrival>> {
        if !self.delivery.can_resume(arrival.received)
            || self.delivery.confirm(arrival.received).is_err()
        {
            return Err(arrival);
        }
        self.hosting.set_max_runs(arrival.worker.max_runs);
        self.hosting.set_max_tasks(arrival.worker.max_tasks);
        self.hosting.set_away(false);
        self.is_asked = false;
        for assigned in self.executions.values_mut() {
            assigned.missed = 0;
        }
        self.leaving.clear();
        self.welcome(true);
        for response in self.delivery.unconfirmed() {
            let bytes = response.encoded_len();
            self.leaving.push(response, bytes);
        }
        Ok(arrival.stream)
    }

    fn welcome(&mut self, resumed: bool) {
        let welcome = pb::Welcome {
            resumed,
            heartbeat_interval: Some(encode::duration(self.times.lease / 3)),
            lease: Some(encode::duration(self.times.lease)),
            grace: Some(encode::duration(self.times.grace)),
        };
        self.send(ConnectResponse {
            message: Some(Said::Welcome(welcome)),
            ..ConnectResponse::default()
        });
    }

    fn send(&mut self, response: ConnectResponse) {
        let bytes = response.encoded_len();
        self.leaving.push(response, bytes);
    }

    /// Asks whether the worker lives. One question at a time, so that each answer was given after
    /// all that was sent before its question.
    pub(super) fn ping(&mut self) {
        if !std::mem::replace(&mut self.is_asked, true) {
            self.send(ConnectResponse {
                message: Some(Said::Ping(pb::Ping {})),
                ..ConnectResponse::default()
            });
        }
    }

    /// The worker says something.
    pub(super) fn hear(&mut self, heard: ConnectRequest) -> Result<(), Malformed> {
        let bytes = heard.encoded_len();
        if self.is_resumable {
            self.delivery.confirm(heard.received)?;
            if !self.delivery.accept(heard.sequence)? {
                return Ok(());
            }
        }
        match heard.message {
            None => Err(Malformed::new(
                "message",
                "is missing, or of a later version",
            )),
            Some(Heard::Hello(_)) => Err(Malformed::new("hello", "is the first message only")),
            Some(Heard::Heartbeat(heartbeat)) => self.beat(heartbeat),
            Some(Heard::Capacity(capacity)) => {
                let most = |field, number: i32| {
                    u32::try_from(number).map_err(|_| Malformed::new(field, "must not be negative"))
                };
                let max_runs = most("max_runs", capacity.max_runs)?;
                self.hosting
                    .set_max_tasks(most("max_tasks", capacity.max_tasks)?);
                self.hosting.set_max_runs(max_runs);
                Ok(())
            }
            Some(_) if heard.execution_id <= 0 => Err(Malformed::new(
                "execution_id",
                "must be that of an execution in this message",
            )),
            Some(said) => {
                self.hear_of(heard.execution_id, said, bytes);
                Ok(())
            }
        }
    }

    /// The worker says something about an execution. If it is not this worker's, nobody hears it.
    fn hear_of(&mut self, execution_id: i64, said: Heard, bytes: usize) {
        let execution = ExecutionId(u64::try_from(execution_id).unwrap_or_default());
        let Some(assigned) = self.executions.get_mut(&execution) else {
            return;
        };
        if assigned.has_ended {
            return;
        }
        let heard = match &assigned.of_task {
            Some(call) => task::heard(said, call),
            None => message::heard(said, assigned.journal),
        };
        let message = match heard {
            Ok(message) => message,
            Err(malformed) => {
                assigned.reason = malformed.to_string();
                if assigned.of_task.is_some() {
                    // Who called has no part in it: another worker is asked.
                    assigned.has_ended = true;
                    let why = format!("it broke the protocol: {malformed}");
                    self.hosting.lose(execution, &why);
                    return;
                }
                message::violation(&malformed)
            }
        };
        assigned.has_ended = matches!(
            message,
            WorkerMessage::Suspend(_) | WorkerMessage::Finish(_) | WorkerMessage::Done(_)
        );
        self.arrived.push(FromWorker { execution, message }, bytes);
    }

    fn beat(&mut self, heartbeat: pb::Heartbeat) -> Result<(), Malformed> {
        if !std::mem::take(&mut self.is_asked) {
            self.unasked += 1;
            return match self.unasked > MAX_UNASKED {
                true => Err(Malformed::new(
                    "heartbeat",
                    "must answer a ping; these are a flood",
                )),
                false => Ok(()),
            };
        }
        self.unasked = 0;
        for assigned in self.executions.values_mut() {
            assigned.missed += 1;
        }
        for execution in heartbeat.execution_ids {
            let execution = ExecutionId(u64::try_from(execution).unwrap_or_default());
            if let Some(assigned) = self.executions.get_mut(&execution) {
                assigned.missed = 0;
            }
        }
        for (execution, assigned) in &mut self.executions {
            if assigned.missed >= MAX_MISSED && !assigned.has_ended {
                assigned.has_ended = true;
                "it was missing in heartbeats".clone_into(&mut assigned.reason);
                let what = match assigned.of_task {
                    Some(_) => "it forgot the task",
                    None => "it forgot the run",
                };
                self.hosting.lose(*execution, what);
            }
        }
        Ok(())
    }

    /// The engine says something.
    pub(super) fn say(&mut self, message: ToWorker) -> Result<(), Malformed> {
        let (mut strict, mut reason) = (false, String::new());
        match &message {
            ToWorker::StartRun(start) => {
                strict = self.strict.contains(&*start.entrypoint);
                let assigned = Assigned {
                    journal: message::handed(&start.journal),
                    ..Assigned::default()
                };
                self.executions.insert(start.execution, assigned);
            }
            ToWorker::RunTask(run) => {
                let assigned = Assigned {
                    of_task: Some(run.call.clone()),
                    ..Assigned::default()
                };
                self.executions.insert(run.execution, assigned);
            }
            ToWorker::Fenced { execution } => match self.executions.remove(execution) {
                Some(ended) if ended.has_ended => reason = ended.reason,
                Some(ended) if ended.of_task.is_some() => {
                    "the task was taken back".clone_into(&mut reason);
                }
                Some(_) => "the run was taken back".clone_into(&mut reason),
                None => return Ok(()),
            },
            ToWorker::Ack { .. } | ToWorker::Retry { .. } | ToWorker::Cancel { .. } => {}
        }
        for mut response in message::said(message, strict, reason) {
            if self.is_resumable {
                self.delivery.number(&mut response);
            }
            self.send(response);
        }
        if self.delivery.is_full() {
            return Err(Malformed::new("received", "never grows"));
        }
        Ok(())
    }

    /// The next message for the worker, as it is to be sent now.
    pub(super) fn next_to_send(&mut self) -> Option<ConnectResponse> {
        let mut response = self.leaving.pop()?;
        response.received = self.delivery.received();
        Some(response)
    }

    /// Takes no more runs and tasks.
    pub(super) fn close(&self) {
        self.hosting.set_max_runs(0);
        self.hosting.set_max_tasks(0);
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.executions.is_empty()
    }
}
