//! WorkerService: workers in other processes.
//!
//! # Layout
//! - `hello`: who connects, with everything that is wrong with it
//! - `schema`: what the inputs of its entrypoints must fit
//! - `session`: one worker process, over as many streams as it takes
//! - `stream`: one stream of a session
//! - `ending`: whether a worker closed its stream, or lost it
//! - `outgoing`: what waits for its connection
//! - `message`: messages to and from the engine's
//! - `task`: those about tasks on offer
//! - `value`: values of a worker's code, of which not all can be kept

mod ending;
mod hello;
mod message;
mod outgoing;
mod recalled;
mod schema;
mod session;
mod stream;
mod task;
mod value;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use service_runtime::{RequestContext, Tenant};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};
use weft_proto::workflow::v1::{
    ConnectRequest, connect_request::Message as Heard, worker_service_server::WorkerService,
};

pub use self::{ending::TellsResets, recalled::recalled};
use self::{
    outgoing::{Outgoing, Responses},
    session::Session,
    stream::Stream,
};
use super::status;
use crate::engine::{Engine, NewWorker};

/// How long a worker has to say Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams of one session that may wait to take over from the one before.
const ARRIVALS: usize = 2;

/// How long workers may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerTimes {
    /// A worker that is not heard for so long is lost. It is asked three times as often.
    pub lease: Duration,
    /// How long a worker whose connection was lost has to come back.
    pub grace: Duration,
}

/// Connections serves WorkerService. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    draining: CancellationToken,
    times: WorkerTimes,
    /// Where streams of living sessions go. In boxes: a queue has room for 32 of what it holds from
    /// the beginning, and there is one for each session.
    sessions: Mutex<HashMap<SessionKey, mpsc::Sender<Box<Arrival>>>>,
    tasks: TaskTracker,
}

type SessionKey = (Tenant, String);

/// A stream of a worker that has said Hello.
struct Arrival {
    worker: NewWorker,
    /// What the worker has received in its session.
    received: i64,
    /// Whether it has a session that can be resumed.
    has_session: bool,
    stream: Stream,
}

impl Connections {
    /// Lets workers execute the runs of this engine. They are sent away, in good order, when
    /// `draining` is cancelled.
    pub fn new(engine: Engine, draining: CancellationToken, times: WorkerTimes) -> Self {
        let shared = Shared {
            engine,
            draining,
            times,
            sessions: Mutex::default(),
            tasks: TaskTracker::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Waits until all sessions have ended, which they do after a drain.
    pub async fn closed(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    /// Gives a stream to its session, or begins one.
    fn arrive(
        self: &Arc<Self>,
        key: Option<SessionKey>,
        mut arrival: Box<Arrival>,
    ) -> BoxFuture<'_, ()> {
        async move {
            if let Some(key) = &key {
                let living = self.sessions().get(key).cloned();
                if let Some(session) = living {
                    match session.send(arrival).await {
                        Ok(()) => return,
                        // It has just ended.
                        Err(mpsc::error::SendError(back)) => arrival = back,
                    }
                }
            }
            self.begin(key, arrival);
        }
        .boxed()
    }

    /// Begins a session.
    fn begin(self: &Arc<Self>, key: Option<SessionKey>, arrival: Box<Arrival>) {
        let (sender, mut arrivals) = mpsc::channel(ARRIVALS);
        if let Some(key) = key.clone() {
            self.sessions().insert(key, sender.clone());
        }
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut next = Some(arrival);
            while let Some(arrival) = next.take() {
                next = Session::host(&shared, arrival, &mut arrivals).await;
            }
            if let Some(key) = &key {
                let mut sessions = shared.sessions();
                if sessions
                    .get(key)
                    .is_some_and(|other| other.same_channel(&sender))
                {
                    sessions.remove(key);
                }
            }
            // Whoever came while it ended begins another one.
            arrivals.close();
            while let Some(arrival) = arrivals.recv().await {
                shared.arrive(key.clone(), arrival).await;
            }
        });
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionKey, mpsc::Sender<Box<Arrival>>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl WorkerService for Connections {
    type ConnectStream = Responses;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let tenant = RequestContext::of(&request).tenant().clone();
        let mut incoming = request.into_inner();
        let first = timeout(HELLO_TIMEOUT, incoming.message()).await;
        let first = first.unwrap_or_else(|_| Ok(None));
        let first = first.map_err(stream::of_first)?;
        let Some((received, Heard::Hello(hello))) =
            first.and_then(|first| Some((first.received, first.message?)))
        else {
            return Err(status::no_hello());
        };
        let built_in = |name: &str| self.shared.engine.is_built_in(name);
        let session_id = hello.session_id.clone();
        let worker = hello::new_worker(hello, tenant.clone(), built_in).map_err(status::invalid)?;
        let (outgoing, responses) = Outgoing::new();
        let arrival = Arrival {
            worker,
            received,
            has_session: !session_id.is_empty(),
            stream: Stream { incoming, outgoing },
        };
        let key = (!session_id.is_empty()).then_some((tenant, session_id));
        self.shared.arrive(key, Box::new(arrival)).await;
        Ok(Response::new(responses))
    }
}
