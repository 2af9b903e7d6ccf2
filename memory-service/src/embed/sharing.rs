//! Sharing: calls that wait for their turn at the same moment share one request, in which equal
//! texts are one.
//!
//! Whoever gets a turn takes what is waiting, up to a bound, asks for all of it, and tells the
//! others. Nobody waits for more to come. If a caller goes away during its turn, those whom it took
//! along queue up again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::EmbedError;

/// When callers should try again whose turn did not come.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Vectors of some texts, or why there are none.
pub(super) type Outcome = Result<Vec<Vec<f32>>, EmbedError>;

/// What waits for a turn.
pub(super) struct Queue {
    limits: Limits,
    turns: Semaphore,
    waiting: Mutex<VecDeque<Job>>,
}

/// How much may be under way, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Requests at once.
    pub(super) requests: usize,
    /// Texts of one request; at least 1.
    pub(super) texts: usize,
    /// Bytes of the texts of one request; a text that is longer is asked for by itself.
    pub(super) bytes: usize,
    /// How long one request may take, the wait for its turn included.
    pub(super) timeout: Duration,
}

impl Limits {
    /// How many of the first ones go into one request, each of so many texts and bytes; at least 1
    /// if there are any.
    fn fitting(&self, sizes: impl Iterator<Item = (usize, usize)>) -> usize {
        let (mut texts, mut bytes) = (0, 0);
        let fitting = sizes.enumerate().take_while(|(index, size)| {
            texts += size.0;
            bytes += size.1;
            *index == 0 || (texts <= self.texts && bytes <= self.bytes)
        });
        fitting.count()
    }
}

struct Job {
    texts: Vec<String>,
    reply: oneshot::Sender<Outcome>,
}

impl Job {
    fn size(&self) -> (usize, usize) {
        let bytes = self.texts.iter().map(String::len);
        (self.texts.len(), bytes.sum())
    }
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            turns: Semaphore::new(limits.requests),
            waiting: Mutex::default(),
        }
    }

    /// Has these texts embedded by `request`, in as many requests as they need, perhaps together
    /// with those of others.
    pub(super) async fn embed<F: Future<Output = Outcome> + Send>(
        &self,
        texts: &[String],
        request: impl Fn(Vec<String>) -> F + Send + Sync,
    ) -> Outcome {
        let Limits {
            requests,
            timeout: limit,
            ..
        } = self.limits;
        let (mut parts, mut rest) = (Vec::new(), texts);
        while !rest.is_empty() {
            let sizes = rest.iter().map(|text| (1, text.len()));
            let (part, others) = rest.split_at(self.limits.fitting(sizes));
            rest = others;
            let shared = self.share(part, &request);
            parts.push(async move {
                timeout(limit, shared).await.unwrap_or_else(|_| {
                    Err(EmbedError::Unavailable {
                        cause: format!("no answer within {limit:?}"),
                        retry_after: RETRY_AFTER,
                    })
                })
            });
        }
        let parts: Vec<_> = stream::iter(parts).buffered(requests).try_collect().await?;
        Ok(parts.concat())
    }

    /// Has at most as many texts embedded as one request may have.
    async fn share<F: Future<Output = Outcome> + Send>(
        &self,
        texts: &[String],
        request: &(impl Fn(Vec<String>) -> F + Send + Sync),
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
                run(jobs, request).await;
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
        let jobs = self.limits.fitting(waiting.iter().map(Job::size));
        waiting.drain(..jobs).collect()
    }
}

async fn run<F: Future<Output = Outcome> + Send>(
    jobs: Vec<Job>,
    request: &(impl Fn(Vec<String>) -> F + Send + Sync),
) {
    let mut distinct = Vec::new();
    let mut places = HashMap::new();
    for text in jobs.iter().flat_map(|job| &job.texts) {
        places.entry(text.clone()).or_insert_with(|| {
            distinct.push(text.clone());
            distinct.len() - 1
        });
    }
    let shared = jobs.len() > 1;
    let vectors = match request(distinct).await {
        Ok(vectors) => vectors,
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
        let of_text = |text| vectors.get(*places.get(text)?).cloned();
        let _ = reply.send(Ok(texts.iter().filter_map(of_text).collect()));
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_request_is_bounded_by_texts_and_bytes_and_takes_any_text() {
        let queue = Queue::new(Limits {
            requests: 2,
            texts: 3,
            bytes: 8,
            timeout: Duration::from_secs(30),
        });
        let asked = Mutex::new(Vec::new());
        let lengths = |texts: Vec<String>| {
            let vectors = texts.iter().map(|text| vec![text.len() as f32]).collect();
            asked.lock().unwrap().push(texts);
            ready(Ok(vectors))
        };
        let texts = ["1", "22", "333", "4444", "55555", &"6".repeat(20), "7", ""];
        let texts = texts.map(str::to_owned);
        let vectors = queue.embed(&texts, lengths).await.unwrap();
        assert_eq!(vectors.concat(), [1.0, 2.0, 3.0, 4.0, 5.0, 20.0, 1.0, 0.0]);
        let asked = asked.into_inner().unwrap();
        let counts: Vec<_> = asked.iter().map(Vec::len).collect();
        assert_eq!(counts, [3, 1, 1, 1, 2]);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_takes_nobody_along() {
        let queue = Queue::new(Limits {
            requests: 1,
            texts: 8,
            bytes: 8,
            timeout: Duration::from_secs(30),
        });
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
