//! Ranking: the best candidates of a search, scored, in whole groups of equal rank.
//!
//! An engine names the best by one score at a time, up to a window. Here scores are combined, and
//! aged, which can only bring them nearer to zero. So no candidate that the engine left out ranks
//! above what the last ones that it named add up to, and those above that bound are settled; the
//! others wait for a larger window.

use std::{collections::HashMap, time::Duration};

use service_runtime::Tenant;

use crate::{
    domain::{Time, filter::terms::Narrowing},
    lexical::WordVector,
    search::Search,
    store::{PointId, RankOrder, RankQuery, Ranked, Store, StoreError},
};

/// Candidates whose ranks no others can come between or above.
pub(crate) struct Settled {
    /// Best first, in whole groups of equal rank.
    pub(crate) candidates: Vec<Ranked>,
    /// Whether there are no others that the search could want.
    pub(crate) all: bool,
}

/// How much the cosine of an item's best text counts in a hybrid score.
const MEANING_WEIGHT: f64 = 0.5;

/// How much its words count. Of the ways to combine both that were measured on public retrieval
/// sets, a sum of equal weights was best or level.
const WORDS_WEIGHT: f64 = 0.5;

/// The BM25 score that counts half of what words can count at most.
const HALF_SATURATION: f64 = 10.0;

/// Which candidates are best.
#[derive(Clone, Debug)]
pub enum Order {
    /// By one score of the engine.
    By(RankOrder),
    /// By words and by meaning: every candidate of either side is scored by both.
    Hybrid {
        /// The words of the query; `None` if it has none.
        words: Option<WordVector>,
        /// The vector of the query.
        meaning: Vec<f32>,
    },
}

/// A window of candidates, best first, and what others rank at most; `None` if there are no others.
type Window = (Vec<Ranked>, Option<f64>);

/// Asks the store for `window` candidates and settles what they settle. Items are loaded of at most
/// `load` of them.
pub(crate) async fn settle(
    store: &dyn Store,
    tenant: &Tenant,
    search: &Search,
    window: usize,
    load: usize,
) -> Result<Settled, StoreError> {
    let narrowing = search.filter.as_ref().map(Narrowing::of);
    let times = search.half_life.is_some();
    let query = |order| RankQuery {
        prefix: search.prefix.clone(),
        narrowing: narrowing.clone().unwrap_or_default(),
        among: None,
        order,
        limit: window,
        load: 0,
        times,
        now: search.now,
    };
    let (mut candidates, mut bound) = match &search.order {
        Order::By(order) => {
            let query = RankQuery {
                load: if times { 0 } else { load },
                ..query(order.clone())
            };
            let candidates = store.rank(tenant, query).await?;
            let end = end(&candidates, window);
            (candidates, end)
        }
        Order::Hybrid { words, meaning } => {
            let near = query(RankOrder::Meaning(meaning.clone()));
            let worded = words.clone().map(|words| query(RankOrder::Words(words)));
            hybrid(store, tenant, near, worded).await?
        }
    };
    if let Some(half_life) = search.half_life {
        for candidate in &mut candidates {
            if let Some(time) = candidate.update_time {
                candidate.rank *= remaining(time, search.now, half_life);
            }
        }
        bound = bound.map(|bound| bound.max(0.0));
    }
    candidates.sort_by(|one, other| other.rank.total_cmp(&one.rank));
    let all = bound.is_none_or(|bound| search.min_score.is_some_and(|least| bound < least));
    if let Some(bound) = bound {
        let settled = candidates.partition_point(|candidate| candidate.rank > bound);
        candidates.truncate(settled);
    }
    Ok(Settled { candidates, all })
}

/// What others than these candidates rank at most; `None` if there are no others.
fn end(candidates: &[Ranked], window: usize) -> Option<f64> {
    let last = candidates.last().filter(|_| candidates.len() >= window);
    last.map(|last| last.rank)
}

/// The best by meaning and the best by words, all of them scored by both.
async fn hybrid(
    store: &dyn Store,
    tenant: &Tenant,
    near: RankQuery,
    worded: Option<RankQuery>,
) -> Result<Window, StoreError> {
    let by_meaning = store.rank(tenant, near.clone()).await?;
    let by_words = match &worded {
        Some(worded) => store.rank(tenant, worded.clone()).await?,
        None => Vec::new(),
    };
    let near_end = end(&by_meaning, near.limit);
    let worded_end = end(&by_words, near.limit);
    let mut scores: HashMap<PointId, Scores> = HashMap::new();
    for Ranked {
        point,
        rank,
        update_time,
        ..
    } in &by_meaning
    {
        let scores = scores.entry(*point).or_default();
        (scores.meaning, scores.update_time) = (Some(*rank), *update_time);
    }
    for Ranked {
        point,
        rank,
        update_time,
        ..
    } in &by_words
    {
        let scores = scores.entry(*point).or_default();
        (scores.words, scores.update_time) = (Some(*rank), *update_time);
    }
    // Where a side has named all it has, the others score nothing by it.
    if near_end.is_some() {
        let among = unscored(&scores, |scores| scores.meaning);
        for found in ask_among(store, tenant, near, among).await? {
            scores.entry(found.point).or_default().meaning = Some(found.rank);
        }
    }
    if let Some(worded) = worded.filter(|_| worded_end.is_some()) {
        let among = unscored(&scores, |scores| scores.words);
        for found in ask_among(store, tenant, worded, among).await? {
            scores.entry(found.point).or_default().words = Some(found.rank);
        }
    }
    let candidates = scores.into_iter().map(|(point, scores)| Ranked {
        point,
        rank: combined(scores.meaning, scores.words),
        update_time: scores.update_time,
        item: None,
    });
    // Every item that has words has vectors, too, so that the end by meaning bounds all others.
    let open = near_end.is_some() || worded_end.is_some();
    let bound = open.then(|| combined(near_end, worded_end));
    Ok((candidates.collect(), bound))
}

/// What is known of a candidate.
#[derive(Default)]
struct Scores {
    meaning: Option<f64>,
    words: Option<f64>,
    update_time: Option<Time>,
}

fn combined(meaning: Option<f64>, words: Option<f64>) -> f64 {
    MEANING_WEIGHT * meaning.unwrap_or(0.0) + WORDS_WEIGHT * saturated(words.unwrap_or(0.0))
}

/// A BM25 score between 0 and 1.
pub(crate) fn saturated(score: f64) -> f64 {
    score / (score + HALF_SATURATION)
}

fn unscored(
    scores: &HashMap<PointId, Scores>,
    score: impl Fn(&Scores) -> Option<f64>,
) -> Vec<PointId> {
    let unscored = scores.iter().filter(|(_, scores)| score(scores).is_none());
    unscored.map(|(point, _)| *point).collect()
}

async fn ask_among(
    store: &dyn Store,
    tenant: &Tenant,
    query: RankQuery,
    among: Vec<PointId>,
) -> Result<Vec<Ranked>, StoreError> {
    if among.is_empty() {
        return Ok(Vec::new());
    }
    let query = RankQuery {
        limit: among.len(),
        among: Some(among),
        times: false,
        ..query
    };
    store.rank(tenant, query).await
}

/// What is left of a score at `now`: all of it right after the update, half of it for every half
/// life since then. A clock that stepped back makes nothing younger than new.
fn remaining(update: Time, now: Time, half_life: Duration) -> f64 {
    (-now.since(update).div_duration_f64(half_life)).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_halves_with_every_half_life() {
        let remaining = |update, now| {
            let (update, now) = (Time::from_micros(update), Time::from_micros(now));
            remaining(update, now, Duration::from_micros(100))
        };
        assert_eq!(
            [0, 100, 300, -100].map(|age| remaining(1_000, 1_000 + age)),
            [1.0, 0.5, 0.125, 1.0]
        );
    }
}
