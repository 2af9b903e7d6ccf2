//! Ranking: the best candidates of a search, scored, in whole groups of equal rank.
//!
//! An engine names the best by one score at a time, up to a window. Here scores are combined, and
//! aged, which can only bring them nearer to zero. So no candidate that the engine left out ranks
//! above what the last ones that it named add up to, and those above that bound are settled; the
//! others wait for a larger window.

use std::time::Duration;

use service_runtime::Tenant;

use crate::{
    domain::{Time, filter::terms::Narrowing},
    fusion::Fusion,
    hybrid::Hybrid,
    lexical::WordVector,
    search::Search,
    store::{RankOrder, RankQuery, Ranked, Store, StoreError},
};

/// Candidates whose ranks no others can come between or above.
pub(crate) struct Settled {
    /// Best first, in whole groups of equal rank.
    pub(crate) candidates: Vec<Ranked>,
    /// Whether there are no others that the search could want.
    pub(crate) all: bool,
}

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
        /// How both scores become one.
        fusion: Fusion,
    },
}

/// A window of candidates, best first, and what others rank at most; `None` if there are no others.
pub(crate) type Window = (Vec<Ranked>, Option<f64>);

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
        index: search.index,
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
        Order::Hybrid {
            words,
            meaning,
            fusion,
        } => {
            let hybrid = Hybrid {
                store,
                tenant,
                filter: search.filter.as_ref(),
                fusion: *fusion,
                near: query(RankOrder::Meaning(meaning.clone())),
                worded: words.clone().map(|words| query(RankOrder::Words(words))),
            };
            hybrid.window().await?
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
pub(crate) fn end(candidates: &[Ranked], window: usize) -> Option<f64> {
    let last = candidates.last().filter(|_| candidates.len() >= window);
    last.map(|last| last.rank)
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
