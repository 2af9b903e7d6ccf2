//! Hybrid search: the candidates of words and of meaning together, each scored by both sides.
//!
//! How many candidates are asked for depends on the page, so scores must not: each comes out the
//! same whatever is asked for beside it. What a fusion takes from lists as a whole is therefore
//! taken from parts of them that are of one size for all pages, and of what fulfils the filter.

use std::collections::HashMap;

use futures::future::try_join;
use service_runtime::Tenant;

use crate::{
    domain::{Filter, Time},
    fusion::{Fusion, Method, Spread, Spreads},
    rank::{Window, end},
    search::{GROWTH, LOAD_AT_ONCE, fulfils},
    store::{PointId, RankQuery, Ranked, Store, StoreError},
};

/// How many places of each side count in [`Method::Rrf`]: as many as pages reach.
const PLACES: usize = 10_000;

/// Of how many of the best of each side [`Method::Dbsf`] takes the distribution. Many more would
/// be of items that have nothing to do with the query.
const SPREAD_OF: usize = 100;

/// What both sides are asked, and how their answers become one.
pub(crate) struct Hybrid<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) tenant: &'a Tenant,
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) fusion: Fusion,
    /// Asks by meaning, for as many as the page may need.
    pub(crate) near: RankQuery,
    /// Asks by words; `None` if the query has none.
    pub(crate) worded: Option<RankQuery>,
}

impl Hybrid<'_> {
    /// The best by meaning and the best by words.
    pub(crate) async fn window(&self) -> Result<Window, StoreError> {
        let fusion = self.fusion;
        match fusion.method {
            Method::Rrf => self.placed().await,
            Method::Weighted => {
                let combine = |meaning, words| fusion.weighted(meaning, words);
                self.scored(combine).await
            }
            Method::Dbsf => {
                let spreads = self.spreads().await?;
                let combine = |meaning, words| fusion.distributed(spreads, meaning, words);
                self.scored(combine).await
            }
        }
    }

    /// Candidates with scores that `combine` makes of both; it must not fall when one of them grows.
    async fn scored(
        &self,
        combine: impl Fn(Option<f64>, Option<f64>) -> f64,
    ) -> Result<Window, StoreError> {
        let limit = self.near.limit;
        let by_words = async {
            match &self.worded {
                Some(worded) => self.ask(worded).await,
                None => Ok(Vec::new()),
            }
        };
        let (by_meaning, by_words) = try_join(self.ask(&self.near), by_words).await?;
        let near_end = end(&by_meaning, limit);
        let worded_end = end(&by_words, limit);
        let mut candidates = Candidates::default();
        for found in by_meaning {
            candidates.of(&found).meaning = Some(found.rank);
        }
        for found in by_words {
            candidates.of(&found).words = Some(found.rank);
        }
        // Where a side has named all it has, the others score nothing by it.
        let near = near_end.is_some().then_some(&self.near);
        let worded = self.worded.as_ref().filter(|_| worded_end.is_some());
        let (by_meaning, by_words) = try_join(
            self.ask_among(near, candidates.without(|sides| sides.meaning)),
            self.ask_among(worded, candidates.without(|sides| sides.words)),
        )
        .await?;
        for found in by_meaning {
            candidates.of(&found).meaning = Some(found.rank);
        }
        for found in by_words {
            candidates.of(&found).words = Some(found.rank);
        }
        // Every item that has words has vectors, too, so that the end by meaning bounds all others.
        let open = near_end.is_some() || worded_end.is_some();
        let bound = open.then(|| combine(near_end, worded_end));
        let candidates = candidates.ranked(|sides| combine(sides.meaning, sides.words));
        Ok((candidates, bound))
    }

    /// Candidates by their places, which are known of all of them at once.
    async fn placed(&self) -> Result<Window, StoreError> {
        let (by_meaning, by_words) = self.best(PLACES).await?;
        let mut candidates = Candidates::default();
        for (found, place) in places(by_meaning) {
            candidates.of(&found).meaning = Some(place);
        }
        for (found, place) in places(by_words) {
            candidates.of(&found).words = Some(place);
        }
        let reciprocal = |sides: &Sides<usize>| self.fusion.reciprocal(sides.meaning, sides.words);
        Ok((candidates.ranked(reciprocal), None))
    }

    async fn spreads(&self) -> Result<Spreads, StoreError> {
        let (by_meaning, by_words) = self.best(SPREAD_OF).await?;
        Ok(Spreads {
            meaning: Spread::of(by_meaning.iter().map(|found| found.rank)),
            words: Spread::of(by_words.iter().map(|found| found.rank)),
        })
    }

    /// The best by meaning and by words of those that fulfil the filter, best first; fewer than
    /// `count` only if there are no more.
    async fn best(&self, count: usize) -> Result<(Vec<Ranked>, Vec<Ranked>), StoreError> {
        let mut verdicts = HashMap::new();
        let by_meaning = self.matching(&self.near, count, &mut verdicts).await?;
        let by_words = match &self.worded {
            Some(worded) => self.matching(worded, count, &mut verdicts).await?,
            None => Vec::new(),
        };
        Ok((by_meaning, by_words))
    }

    /// The best candidates that fulfil the filter. `verdicts` remembers which do: no document is
    /// checked twice, however often more candidates are asked for.
    async fn matching(
        &self,
        query: &RankQuery,
        count: usize,
        verdicts: &mut HashMap<PointId, bool>,
    ) -> Result<Vec<Ranked>, StoreError> {
        let mut limit = count;
        loop {
            let query = RankQuery {
                limit,
                ..query.clone()
            };
            let candidates = self.ask(&query).await?;
            let Some(filter) = self.filter else {
                return Ok(candidates);
            };
            let mut matching = Vec::new();
            for chunk in candidates.chunks(LOAD_AT_ONCE) {
                self.judge(filter, chunk, verdicts).await?;
                let matches = |found: &&Ranked| verdicts.get(&found.point) == Some(&true);
                matching.extend(chunk.iter().filter(matches).cloned());
                if matching.len() >= count {
                    matching.truncate(count);
                    return Ok(matching);
                }
            }
            if candidates.len() < limit {
                return Ok(matching);
            }
            limit = limit.saturating_mul(GROWTH);
        }
    }

    /// Checks the documents of candidates that were not checked yet.
    async fn judge(
        &self,
        filter: &Filter,
        candidates: &[Ranked],
        verdicts: &mut HashMap<PointId, bool>,
    ) -> Result<(), StoreError> {
        let points = candidates.iter().map(|found| found.point);
        let unknown: Vec<_> = points
            .filter(|point| !verdicts.contains_key(point))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let now = self.near.now;
        let items = self.store.fetch(self.tenant, unknown.clone(), now).await?;
        for (point, item) in unknown.into_iter().zip(items) {
            let fulfils = match item {
                Some(item) => fulfils(filter, &item).await?,
                None => false,
            };
            verdicts.insert(point, fulfils);
        }
        Ok(())
    }

    async fn ask(&self, query: &RankQuery) -> Result<Vec<Ranked>, StoreError> {
        self.store.rank(self.tenant, query.clone()).await
    }

    async fn ask_among(
        &self,
        query: Option<&RankQuery>,
        among: Vec<PointId>,
    ) -> Result<Vec<Ranked>, StoreError> {
        let Some(query) = query.filter(|_| !among.is_empty()) else {
            return Ok(Vec::new());
        };
        self.ask(&RankQuery {
            limit: among.len(),
            among: Some(among),
            times: false,
            ..query.clone()
        })
        .await
    }
}

/// Candidates with their places: one more than there are better ones.
fn places(best_first: Vec<Ranked>) -> impl Iterator<Item = (Ranked, usize)> {
    let mut last = None;
    best_first
        .into_iter()
        .enumerate()
        .map(move |(index, found)| {
            let place = match last {
                Some((rank, place)) if rank == found.rank => place,
                _ => index + 1,
            };
            last = Some((found.rank, place));
            (found, place)
        })
}

/// What both sides say about a candidate.
struct Sides<T> {
    meaning: Option<T>,
    words: Option<T>,
    update_time: Option<Time>,
}

/// The candidates of both sides.
struct Candidates<T>(HashMap<PointId, Sides<T>>);

impl<T> Default for Candidates<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Candidates<T> {
    fn of(&mut self, found: &Ranked) -> &mut Sides<T> {
        let sides = self.0.entry(found.point).or_insert(Sides {
            meaning: None,
            words: None,
            update_time: None,
        });
        sides.update_time = sides.update_time.or(found.update_time);
        sides
    }

    /// Those of which a side has said nothing yet.
    fn without(&self, side: impl Fn(&Sides<T>) -> Option<T>) -> Vec<PointId> {
        let without = self.0.iter().filter(|(_, sides)| side(sides).is_none());
        without.map(|(point, _)| *point).collect()
    }

    fn ranked(self, rank: impl Fn(&Sides<T>) -> f64) -> Vec<Ranked> {
        let ranked = self.0.into_iter().map(|(point, sides)| Ranked {
            point,
            rank: rank(&sides),
            update_time: sides.update_time,
            item: None,
        });
        ranked.collect()
    }
}
