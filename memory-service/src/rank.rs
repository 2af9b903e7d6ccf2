//! Ranking: the best candidates of a search, scored, in whole groups of equal rank.
//!
//! An engine names the best by its own score, up to a window. Here scores are aged, which can only
//! bring them nearer to zero. So no candidate that the engine left out ranks above the last one that
//! it named, and those above that bound are settled; the others wait for a larger window.

use std::time::Duration;

use service_runtime::Tenant;

use crate::{
    domain::{Time, filter::terms::Narrowing},
    search::Search,
    store::{RankQuery, Ranked, Store, StoreError},
};

/// Candidates whose ranks no others can come between or above.
pub(crate) struct Settled {
    /// Best first, in whole groups of equal rank.
    pub(crate) candidates: Vec<Ranked>,
    /// Whether there are no others that the search could want.
    pub(crate) all: bool,
}

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
    let query = RankQuery {
        prefix: search.prefix.clone(),
        narrowing: narrowing.unwrap_or_default(),
        order: search.order.clone(),
        limit: window,
        load: if search.half_life.is_some() { 0 } else { load },
        times: search.half_life.is_some(),
        now: search.now,
    };
    let mut candidates = store.rank(tenant, query).await?;
    let mut bound = candidates.last().map(|candidate| candidate.rank);
    if candidates.len() < window {
        bound = None;
    }
    if let Some(half_life) = search.half_life {
        for candidate in &mut candidates {
            if let Some(time) = candidate.update_time {
                candidate.rank *= remaining(time, search.now, half_life);
            }
        }
        candidates.sort_by(|one, other| other.rank.total_cmp(&one.rank));
        bound = bound.map(|bound| bound.max(0.0));
    }
    let all = bound.is_none_or(|bound| search.min_score.is_some_and(|least| bound < least));
    if let Some(bound) = bound {
        let settled = candidates.partition_point(|candidate| candidate.rank > bound);
        candidates.truncate(settled);
    }
    Ok(Settled { candidates, all })
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
