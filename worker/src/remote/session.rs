//! What outlives a stream.

use std::collections::{HashMap, HashSet, VecDeque};

use uuid::Uuid;
use weft_proto::workflow::v1::{
    self as pb, ConnectRequest, connect_request::Message as Said,
    connect_response::Message as Heard,
};

use super::message;
use crate::{
    protocol::{ExecutionId, FromWorker, StartRun, ToWorker, WorkerMessage},
    wire::{Delivery, Malformed},
};

/// Session is one worker process, as the service knows it.
#[derive(Debug)]
pub(super) struct Session {
    hello: pb::Hello,
    delivery: Delivery<ConnectRequest>,
    /// Executions that are not fenced, with the number of recorded calls that they began with.
    executions: HashMap<ExecutionId, i32>,
    /// Those of them that have said their last word.
    ended: HashSet<ExecutionId>,
    /// Runs of which more of the journal is to come, with its length.
    incomplete: HashMap<ExecutionId, (Box<StartRun>, usize)>,
    /// Messages for them that wait for room.
    pub(super) arrived: VecDeque<ToWorker>,
    /// Messages for the service that wait for room.
    pub(super) leaving: VecDeque<ConnectRequest>,
}

impl Session {
    /// The session of a worker that says this first.
    pub(super) fn new(hello: pb::Hello) -> Self {
        Self {
            hello,
            delivery: Delivery::default(),
            executions: HashMap::new(),
            ended: HashSet::new(),
            incomplete: HashMap::new(),
            arrived: VecDeque::new(),
            leaving: VecDeque::new(),
        }
    }

    /// Another process has this session, or the service has ended it: a new one begins with the next
    /// stream. To come back with the same id would take the session from the other one again.
    pub(super) fn begin_anew(&mut self) {
        self.hello.session_id = Uuid::now_v7().to_string();
        self.delivery = Delivery::default();
    }

    /// The first message of a stream.
    pub(super) fn hello(&self) -> ConnectRequest {
        ConnectRequest {
            received: self.delivery.received(),
            message: Some(Said::Hello(self.hello.clone())),
            ..ConnectRequest::default()
        }
    }

    /// A stream is open. If the service knows the session no more, all executions end and a new
    /// one begins; else what it has not received is sent again.
    pub(super) fn welcomed(&mut self, resumed: bool, received: i64) -> Result<(), Malformed> {
        self.leaving.clear();
        if resumed {
            self.delivery.confirm(received)?;
            self.leaving.extend(self.delivery.unconfirmed());
            return Ok(());
        }
        self.delivery = Delivery::default();
        self.incomplete.clear();
        self.ended.clear();
        self.arrived.clear();
        let fenced = |execution| ToWorker::Fenced { execution };
        self.arrived
            .extend(self.executions.drain().map(|(id, _)| fenced(id)));
        Ok(())
    }

    /// The service says something.
    pub(super) fn hear(&mut self, heard: pb::ConnectResponse) -> Result<(), Malformed> {
        self.delivery.confirm(heard.received)?;
        if !self.delivery.accept(heard.sequence)? {
            return Ok(());
        }
        let execution = message::execution(heard.execution_id)?;
        match heard.message {
            None => {
                // A later version may say more.
                tracing::debug!("a message that this version does not know");
            }
            Some(Heard::Welcome(_)) => return Err(Malformed::new("welcome", "comes once")),
            Some(Heard::Ping(pb::Ping {})) => self.beat(),
            Some(Heard::StartRun(start)) => {
                let journal_length = start.journal_length;
                let (start, length) = message::start_run(execution, start)?;
                self.executions.insert(execution, journal_length);
                self.incomplete.insert(execution, (Box::new(start), length));
                self.start_if_complete(execution);
            }
            Some(Heard::RunTask(run)) => {
                let run = message::run_task(execution, run)?;
                self.executions.insert(execution, 0);
                self.arrived.push_back(ToWorker::RunTask(Box::new(run)));
            }
            Some(Heard::JournalChunk(chunk)) => {
                if let Some((start, _)) = self.incomplete.get_mut(&execution) {
                    start.journal.extend(message::journal(chunk.entries)?);
                    self.start_if_complete(execution);
                }
            }
            Some(Heard::Fenced(pb::Fenced { reason })) => {
                if !reason.is_empty() {
                    tracing::warn!(%reason, "the service took an execution back");
                }
                self.incomplete.remove(&execution);
                self.ended.remove(&execution);
                if self.executions.remove(&execution).is_some() {
                    self.arrived.push_back(ToWorker::Fenced { execution });
                }
            }
            Some(Heard::Ack(ack)) => self.pass_on(execution, message::ack(execution, ack)?),
            Some(Heard::Retry(retry)) => self.pass_on(execution, message::retry(execution, retry)?),
            Some(Heard::Cancel(pb::Cancel { reason })) => {
                self.pass_on(execution, ToWorker::Cancel { execution, reason });
            }
        }
        Ok(())
    }

    fn pass_on(&mut self, execution: ExecutionId, message: ToWorker) {
        if self.executions.contains_key(&execution) {
            self.arrived.push_back(message);
        }
    }

    fn start_if_complete(&mut self, execution: ExecutionId) {
        let is_complete = |(start, length): &(Box<StartRun>, usize)| start.journal.len() >= *length;
        if self.incomplete.get(&execution).is_some_and(is_complete)
            && let Some((start, _)) = self.incomplete.remove(&execution)
        {
            self.arrived.push_back(ToWorker::StartRun(start));
        }
    }

    /// Answers a ping, before all else that waits.
    fn beat(&mut self) {
        let at_work = self.executions.keys().filter(|id| !self.ended.contains(id));
        let heartbeat = pb::Heartbeat {
            execution_ids: at_work.map(|id| message::number(*id)).collect(),
        };
        self.leaving.push_front(ConnectRequest {
            message: Some(Said::Heartbeat(heartbeat)),
            ..ConnectRequest::default()
        });
    }

    /// An execution says something.
    pub(super) fn say(&mut self, from: FromWorker) {
        let FromWorker { execution, message } = from;
        let Some(&journal_length) = self.executions.get(&execution) else {
            return;
        };
        let is_event = matches!(message, WorkerMessage::Event(_));
        if matches!(
            message,
            WorkerMessage::Suspend(_) | WorkerMessage::Finish(_) | WorkerMessage::Done(_)
        ) {
            self.ended.insert(execution);
        }
        let mut request = message::request(execution, message, journal_length);
        if !is_event {
            self.delivery.number(&mut request);
        }
        self.leaving.push_back(request);
    }

    /// Asks for no more runs and tasks.
    pub(super) fn close(&mut self) {
        (self.hello.max_runs, self.hello.max_tasks) = (0, 0);
        let none = pb::Capacity {
            max_runs: 0,
            max_tasks: 0,
        };
        let mut request = ConnectRequest {
            message: Some(Said::Capacity(none)),
            ..ConnectRequest::default()
        };
        self.delivery.number(&mut request);
        self.leaving.push_back(request);
    }

    /// The next message for the service, as it is to be sent now.
    pub(super) fn next_to_send(&mut self) -> Option<ConnectRequest> {
        let mut request = self.leaving.pop_front()?;
        request.received = self.delivery.received();
        Some(request)
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.executions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{json, protocol::Finish, wire::encode};

    fn session() -> Session {
        Session::new(pb::Hello::default())
    }

    fn start(sequence: i64, execution_id: i64, journal_length: i32) -> pb::ConnectResponse {
        let text = |text: &str| Some(encode::payload(&json::from_text(text).unwrap()));
        let start = pb::StartRun {
            run_id: Uuid::now_v7().to_string(),
            thread_id: "t".to_owned(),
            entrypoint: "e".to_owned(),
            version: "1".to_owned(),
            attempt: 1,
            input: text("null"),
            config: text("{}"),
            journal_length,
            ..pb::StartRun::default()
        };
        pb::ConnectResponse {
            sequence,
            execution_id,
            message: Some(Heard::StartRun(start)),
            ..pb::ConnectResponse::default()
        }
    }

    fn mismatch(execution: u64) -> FromWorker {
        let failure = crate::Failure::new("X", "x");
        FromWorker {
            execution: ExecutionId(execution),
            message: WorkerMessage::Finish(Box::new(Finish::Mismatch(failure))),
        }
    }

    fn sent(session: &mut Session) -> Vec<i64> {
        std::iter::from_fn(|| session.next_to_send())
            .map(|request| request.sequence)
            .collect()
    }

    #[test]
    fn what_the_service_missed_is_sent_again_if_it_resumes_the_session() {
        let mut session = session();
        for execution in [7, 8] {
            session.hear(start(execution - 6, execution, 0)).unwrap();
            session.say(mismatch(execution.cast_unsigned()));
        }
        assert_eq!(sent(&mut session), [1, 2]);
        session.welcomed(true, 1).unwrap();
        assert_eq!(sent(&mut session), [2]);
        // A message that arrives twice is heard once.
        let arrived = session.arrived.len();
        session.hear(start(2, 8, 0)).unwrap();
        assert_eq!(session.arrived.len(), arrived);
    }

    #[test]
    fn a_session_that_is_not_resumed_fences_all_it_had_and_begins_anew() {
        let mut session = session();
        session.hear(start(1, 7, 0)).unwrap();
        session.arrived.clear();
        session.welcomed(false, 0).unwrap();
        assert!(matches!(
            session.arrived.pop_front(),
            Some(ToWorker::Fenced { execution }) if execution == ExecutionId(7)
        ));
        session.say(mismatch(7));
        assert!(sent(&mut session).is_empty(), "nobody waits for its words");
        session.hear(start(1, 9, 0)).unwrap();
        session.say(mismatch(9));
        assert_eq!(sent(&mut session), [1]);
    }

    #[test]
    fn a_run_starts_once_its_whole_journal_is_there() {
        let mut session = session();
        session.hear(start(1, 7, 1)).unwrap();
        assert!(session.arrived.is_empty());
        let call = crate::Call {
            id: crate::CallId::new(None, 0),
            kind: crate::CallKind::Task,
            task: "a".into(),
            input_hash: [0; 32],
        };
        let entry = pb::JournalEntry {
            call: Some(encode::call(&call)),
            outcome: Some(encode::outcome(&Ok(json::null()))),
        };
        let chunk = pb::ConnectResponse {
            sequence: 2,
            execution_id: 7,
            message: Some(Heard::JournalChunk(pb::JournalChunk {
                entries: vec![entry],
            })),
            ..pb::ConnectResponse::default()
        };
        session.hear(chunk).unwrap();
        let Some(ToWorker::StartRun(start)) = session.arrived.pop_front() else {
            panic!("it starts")
        };
        assert_eq!(start.journal.len(), 1);
    }
}
