//! From the first stream of a worker to its end.

use std::{collections::HashMap, pin::pin, sync::Arc};

use tokio::{
    select,
    sync::mpsc,
    time::{sleep, timeout},
};
use weft_worker::{
    EntrypointDescription,
    protocol::{WorkerLink, in_memory_link},
    wire::Delivery,
};

use super::{Session, queue::Queue};
use crate::grpc::worker::{Arrival, Shared, stream::Over};

impl Session {
    /// Sees a worker through its session. The stream that cannot go on with it, if that is how it
    /// ends.
    pub(in super::super) async fn host(
        shared: &Shared,
        arrival: Box<Arrival>,
        arrivals: &mut mpsc::Receiver<Box<Arrival>>,
    ) -> Option<Box<Arrival>> {
        let Arrival {
            worker,
            has_session,
            mut stream,
            ..
        } = *arrival;
        let (name, max_runs) = (worker.name.clone(), worker.max_runs);
        let is_strict = |hosted: &&EntrypointDescription| hosted.is_strict;
        let strict = worker.hosted.iter().filter(is_strict);
        let strict = strict.map(|hosted| Arc::clone(&hosted.name)).collect();
        tracing::info!(worker = %name, max_runs, "a worker connected");
        let (worker_link, engine_link) = in_memory_link();
        let mut session = Self {
            times: shared.times,
            link: worker_link,
            is_resumable: has_session,
            strict,
            hosting: shared.engine.attach(worker, engine_link),
            delivery: Delivery::default(),
            executions: HashMap::new(),
            is_asked: false,
            unasked: 0,
            arrived: Queue::default(),
            leaving: Queue::default(),
        };
        session.welcome(false);
        let (why, next) = loop {
            let why = match stream.pump(&mut session, arrivals, &shared.draining).await {
                Over::Ended(why) => break (why, None),
                Over::Lost(why) if !has_session => break (why, None),
                Over::Lost(why) => why,
                Over::Replaced(arrival) => match session.resume(arrival) {
                    Ok(resumed) => {
                        tracing::warn!(worker = %name, "another stream took over a session");
                        stream = resumed;
                        continue;
                    }
                    Err(arrival) => break ("it began anew".to_owned(), Some(arrival)),
                },
            };
            tracing::warn!(worker = %name, %why, "a worker's stream was lost");
            session.hosting.set_away(true);
            let came_back = select! {
                came_back = session.comes_back(arrivals) => came_back,
                () = shared.draining.cancelled() => break (why, None),
            };
            match came_back.map(|arrival| session.resume(arrival)) {
                Some(Ok(resumed)) => stream = resumed,
                Some(Err(arrival)) => break ("it began anew".to_owned(), Some(arrival)),
                None => {
                    let grace = session.times.grace;
                    break (
                        format!("{why}, and it did not come back within {grace:?}"),
                        None,
                    );
                }
            }
        };
        tracing::info!(worker = %name, %why, "a worker is gone");
        session.end(&why).await;
        next
    }

    /// Waits for the worker to connect again, for as long as it may take. What it said before is
    /// passed on meanwhile.
    async fn comes_back(
        &mut self,
        arrivals: &mut mpsc::Receiver<Box<Arrival>>,
    ) -> Option<Box<Arrival>> {
        let mut overdue = pin!(sleep(self.times.grace));
        loop {
            select! {
                Some(arrival) = arrivals.recv() => return Some(arrival),
                Ok(_) = self.link.outbox.reserve(), if !self.arrived.is_empty() => {}
                () = &mut overdue => return None,
            }
            self.pass_on();
        }
    }

    /// Passes what the worker said next on to the engine, which has room for it.
    pub(in super::super) fn pass_on(&mut self) {
        if let Some(message) = self.arrived.pop() {
            // Nobody else sends here: the room that was found is there.
            let _ = self.link.outbox.try_send(message);
        }
    }

    /// The worker is gone, and what it said before counts.
    async fn end(self, why: &str) {
        self.hosting.leaves(why);
        let WorkerLink { inbox, outbox } = self.link;
        // First, so that no run waits to tell the worker something before it hears it.
        drop(inbox);
        let rest = async {
            for said in self.arrived.into_messages() {
                let _ = outbox.send(said).await;
            }
        };
        // An engine that takes nothing for so long can record nothing either.
        let _ = timeout(self.times.lease, rest).await;
    }
}
