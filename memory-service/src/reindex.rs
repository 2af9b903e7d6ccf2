//! Reindexing: the way of a store from its former index to the present one, while it is served.
//!
//! Items are embedded a few at a time, one request after the other; while there are calls, no more
//! than half of the time. Whatever stops it, it goes on with what is left.

use std::{sync::Arc, time::Duration};

use metrics::{describe_gauge, gauge};
use tokio::time::{Instant, sleep};

use crate::{
    domain::Time,
    embed::EmbedError,
    failure::Failure,
    memory::Memory,
    store::{
        PointId, StoreError,
        archive::{Record, Records},
        index::{Index, Progress, Stage},
    },
};

/// Items that are embedded at once: a second's work for a slow model.
const AT_ONCE: usize = 32;

/// Items that may be left when writes begin to go into both indexes.
const FEW: u64 = 8 * AT_ONCE as u64;

/// Between two looks at what there is to do, when there is nothing.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Until what failed is tried again, if nothing else is known.
const RETRY_AFTER: Duration = Duration::from_secs(5);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Between two lines of the log that say how far it is.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// What metrics are called.
const LEFT: &str = "memory_reindex_items_left";
const ITEMS: &str = "memory_reindex_items";

/// Moves the store on until it is in the present index only, or this future is dropped. Searches
/// take no longer than `longest`; that is how long the former index is kept after the switch.
pub async fn reindex_until_settled(memory: Arc<Memory>, longest: Duration) {
    if memory.store().stage() == Stage::Settled {
        return;
    }
    describe_gauge!(LEFT, "items that are not in the present index yet");
    describe_gauge!(ITEMS, "items");
    let mut reindexing = Reindexing::new(&memory);
    let mut switched = None;
    loop {
        let pause = match reindexing.step(&mut switched, longest).await {
            Ok(None) => return,
            Ok(Some(pause)) => pause,
            Err(failure) => {
                let pause = retry_after(&failure);
                tracing::warn!(%failure, "indexing anew stands still; it goes on in {pause:?}");
                pause
            }
        };
        sleep(pause).await;
    }
}

fn retry_after(failure: &Failure) -> Duration {
    match failure {
        Failure::Embed(EmbedError::Unavailable { retry_after, .. }) => {
            (*retry_after).clamp(LOOK_INTERVAL, MAX_RETRY_AFTER)
        }
        _ => RETRY_AFTER,
    }
}

/// A store on its way, as this process takes it there.
pub(crate) struct Reindexing<'a> {
    memory: &'a Memory,
    reported: Option<Instant>,
    /// Items that the round before came by.
    before: Option<u64>,
}

/// What came of looking through all items that are not in the present index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Round {
    /// How many there were.
    found: u64,
    /// How many of them the embedder does not accept.
    refused: u64,
}

/// What came of filling the present index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    /// How many items the embedder does not accept: they keep the store from its way.
    pub(crate) refused: u64,
    /// How long to wait before it goes on.
    pub(crate) pause: Duration,
}

impl<'a> Reindexing<'a> {
    pub(crate) fn new(memory: &'a Memory) -> Self {
        Self {
            memory,
            reported: None,
            before: None,
        }
    }

    /// Does what the present stage asks for; answers with how long to wait for the next step, or
    /// nothing if there is none.
    async fn step(
        &mut self,
        switched: &mut Option<Time>,
        longest: Duration,
    ) -> Result<Option<Duration>, Failure> {
        let store = self.memory.store();
        match store.look().await? {
            Stage::Settled => {
                gauge!(LEFT).set(0.0);
                tracing::info!("the former index is gone; its configuration can be, too");
                Ok(None)
            }
            Stage::Switched => {
                // Of another process that had not noticed.
                self.round(|_| ()).await?;
                let now = self.memory.clock().now();
                let since = *switched.get_or_insert(now);
                if now.since(since) > longest {
                    store.advance().await?;
                    return Ok(Some(Duration::ZERO));
                }
                Ok(Some(LOOK_INTERVAL))
            }
            Stage::Filling | Stage::Closing => {
                let Filled { refused, pause } = self.fill(|_| ()).await?;
                if refused > 0 {
                    tracing::warn!(
                        refused,
                        "some items cannot be indexed anew; change or delete them"
                    );
                }
                Ok(Some(pause))
            }
        }
    }

    /// Looks through all items once, and goes to the next stage if that may be.
    pub(crate) async fn fill(&mut self, progress: impl FnMut(Progress)) -> Result<Filled, Failure> {
        let pause = |pause| Filled { refused: 0, pause };
        let store = self.memory.store();
        let stage = store.stage();
        let round = self.round(progress).await?;
        if round.refused > 0 {
            return Ok(Filled {
                refused: round.refused,
                pause: MAX_RETRY_AFTER,
            });
        }
        // Writes may go on as fast as items are indexed.
        let no_fewer = self.before.is_some_and(|before| round.found >= before);
        self.before = Some(round.found);
        let ready = match stage {
            Stage::Filling => round.found <= FEW || no_fewer,
            _ => round.found == 0,
        };
        if !ready {
            return Ok(pause(Duration::ZERO));
        }
        match store.advance().await? {
            Stage::Closing if stage == Stage::Filling => {
                tracing::info!("nearly everything is indexed anew; writes go into both indexes");
            }
            Stage::Switched if stage == Stage::Closing => {
                gauge!(LEFT).set(0.0);
                tracing::info!("everything is indexed anew, and searched like that from now on");
            }
            _ => return Ok(pause(LOOK_INTERVAL)),
        }
        Ok(pause(Duration::ZERO))
    }

    /// Looks through all items that are not in the present index, and puts them into it.
    async fn round(&mut self, mut progress: impl FnMut(Progress)) -> Result<Round, Failure> {
        let store = self.memory.store();
        let mut round = Round::default();
        // Several processes meet only at the end.
        let somewhere = PointId(uuid::Uuid::from_u128(rand::random()));
        for mut from in [Some(somewhere), None] {
            loop {
                let Records { records, next } = store.unindexed(from, AT_ONCE).await?;
                let (began, calls) = (Instant::now(), self.memory.calls());
                if !records.is_empty() {
                    round.found += records.len() as u64;
                    round.refused += self.index(records).await?;
                    let now = store.progress().await?;
                    progress(now);
                    self.report(now);
                }
                if self.memory.calls() != calls {
                    sleep(began.elapsed()).await;
                }
                match next {
                    Some(next) => from = Some(next),
                    None => break,
                }
            }
        }
        Ok(round)
    }

    /// Puts items into the present index; answers with how many cannot be.
    async fn index(&self, records: Vec<Result<Record, StoreError>>) -> Result<u64, Failure> {
        let mut refused = 0;
        let mut sound = Vec::new();
        for record in records {
            match record {
                Ok(record) => sound.push(record),
                Err(error) => {
                    tracing::warn!(%error, "an item cannot be indexed anew");
                    refused += 1;
                }
            }
        }
        let store = self.memory.store();
        match self.embed(&mut sound).await {
            Ok(()) => store.index(sound).await?,
            Err(failure) if is_refusal(&failure) => {
                // One that is refused must not keep the others from theirs.
                for record in sound {
                    let mut one = vec![record];
                    match self.embed(&mut one).await {
                        Ok(()) => store.index(one).await?,
                        Err(failure) if is_refusal(&failure) => {
                            for Record { item, .. } in &one {
                                tracing::warn!(%failure, item = %item.id, "it cannot be indexed anew");
                            }
                            refused += 1;
                        }
                        Err(failure) => return Err(failure),
                    }
                }
            }
            Err(failure) => return Err(failure),
        }
        Ok(refused)
    }

    async fn embed(&self, records: &mut [Record]) -> Result<(), Failure> {
        let items = records.iter().map(|record| {
            let Record { item, indexing, .. } = record;
            (item.id.clone(), item.value.clone(), indexing.clone())
        });
        let items = items.collect();
        let preparation = self.memory.preparation();
        let vectors = preparation.vectors(Index::Present, items).await?;
        for (record, vectors) in records.iter_mut().zip(vectors) {
            record.vectors = vectors;
        }
        Ok(())
    }

    fn report(&mut self, progress: Progress) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "there are fewer items than 2^53"
        )]
        let (left, items) = (progress.left as f64, progress.items as f64);
        gauge!(LEFT).set(left);
        gauge!(ITEMS).set(items);
        let due = self
            .reported
            .is_none_or(|then| then.elapsed() >= REPORT_INTERVAL);
        if due {
            self.reported = Some(Instant::now());
            let Progress { left, items } = progress;
            tracing::info!(left, items, "indexing anew");
        }
    }
}

fn is_refusal(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Embed(EmbedError::Refused(_)) | Failure::TooManyTexts { .. }
    )
}
