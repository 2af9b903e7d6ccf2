//! Sharing: calls that wait for their turn at the same moment share one request.
//!
//! Whoever gets a turn takes what is waiting, up to a bound, asks for all of it, and tells the
//! others. Nobody waits for more to come. If a caller goes away during its turn, those whom it took
//! along queue up again.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tokio::sync::{Semaphore, oneshot};

use super::EmbedError;

/// Vectors of some texts, or why there are none.
pub(super) type Outcome = Result<Vec<Vec<f32>>, EmbedError>;

/// What waits for a turn.
pub(super) struct Queue {
    turns: Semaphore,
    most_texts: usize,
    waiting: Mutex<VecDeque<Job>>,
}

struct Job {
    texts: Vec<String>,
    reply: oneshot::Sender<Outcome>,
}

impl Queue {
    /// So many turns at once, each of so many texts at most.
    pub(super) fn new(turns: usize, most_texts: usize) -> Self {
        Self {
            turns: Semaphore::new(turns),
            most_texts,
            waiting: Mutex::default(),
        }
    }

    /// Has these texts embedded by `request`, perhaps together with those of others; at most as
    /// many as a turn may have.
    pub(super) async fn embed<F: Future<Output = Outcome> + Send>(
        &self,
        texts: &[String],
        request: impl Fn(Vec<String>) -> F + Send + Sync,
    ) -> Outcome {
        loop {
            let mut answer = self.queue_up(texts);
            let answered = loop {
                let turn = tokio::select! {
                    biased;
                    answered = &mut answer => break answered,
                    turn = self.turns.acquire() => turn,
                };
                let jobs = self.take();
                if jobs.is_empty() {
                    // Somebody else has taken these texts along.
                    drop(turn);
                    break answer.await;
                }
                run(jobs, &request).await;
            };
            // Without an answer, whoever took these texts along has gone.
            if let Ok(outcome) = answered {
                return outcome;
            }
        }
    }

    fn queue_up(&self, texts: &[String]) -> oneshot::Receiver<Outcome> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            texts: texts.to_vec(),
            reply,
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(job);
        answer
    }

    /// The first ones that wait, without those whose callers have gone.
    fn take(&self) -> Vec<Job> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|job| !job.reply.is_closed());
        let mut texts = 0;
        let fitting = waiting.iter().take_while(|job| {
            texts += job.texts.len();
            texts <= self.most_texts
        });
        let jobs = fitting.count();
        waiting.drain(..jobs).collect()
    }
}

async fn run<F: Future<Output = Outcome> + Send>(
    jobs: Vec<Job>,
    request: &(impl Fn(Vec<String>) -> F + Send + Sync),
) {
    let texts: Vec<_> = jobs.iter().flat_map(|job| job.texts.clone()).collect();
    let shared = jobs.len() > 1;
    let mut vectors = match request(texts).await {
        Ok(vectors) => vectors.into_iter(),
        // One text that is refused must not keep the others from theirs.
        Err(EmbedError::Refused(_)) if shared => {
            for Job { texts, reply } in jobs {
                let _ = reply.send(request(texts).await);
            }
            return;
        }
        Err(error) => {
            for job in jobs {
                let _ = job.reply.send(Err(error.clone()));
            }
            return;
        }
    };
    for Job { texts, reply } in jobs {
        let _ = reply.send(Ok(vectors.by_ref().take(texts.len()).collect()));
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_caller_that_goes_away_takes_nobody_along() {
        let queue = Queue::new(1, 8);
        let texts = |text: &str| vec![text.to_owned()];
        let (one, two, three) = (texts("1"), texts("2"), texts("3"));
        let silent = |_: Vec<String>| pending();
        let lengths = |texts: Vec<String>| {
            let vectors = texts.iter().map(|text| vec![text.parse().unwrap()]);
            ready(Ok(vectors.collect()))
        };
        let mut first = Box::pin(queue.embed(&one, silent));
        let mut second = Box::pin(queue.embed(&two, silent));
        let mut third = Box::pin(queue.embed(&three, lengths));
        assert!(futures::poll!(first.as_mut()).is_pending());
        assert!(futures::poll!(second.as_mut()).is_pending());
        assert!(futures::poll!(third.as_mut()).is_pending());
        drop(first);
        // The second has its turn now and takes the third along.
        assert!(futures::poll!(second.as_mut()).is_pending());
        assert!(queue.take().is_empty());
        drop(second);
        assert_eq!(third.await, Ok(vec![vec![3.0]]));
    }
}
