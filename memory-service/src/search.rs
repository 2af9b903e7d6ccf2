//! Search: pages of exactly what matches, from candidates that an engine ranks.
//!
//! An engine ranks well, but it leaves the order of equal ranks open and answers only a part of a
//! filter. So candidates are asked for beyond the page, groups of equal rank are put in order of
//! (namespace, key), filters are checked on the documents, and if a page is not full by then, more
//! candidates are asked for.

use std::time::{Duration, Instant};

use service_runtime::Tenant;

use crate::{
    domain::{Filter, Item, NamespacePrefix, Time, filter::terms::Narrowing},
    failure::Failure,
    page::Page,
    rank::{Order, Settled, settle},
    room::Room,
    store::{RankOrder, RankQuery, Store, StoreError, index::Index},
};

/// Candidates beyond the page, so that its last group of equal rank is likely to be whole.
const MARGIN: usize = 16;

/// How many times more candidates are asked for if those were not enough.
pub(crate) const GROWTH: usize = 4;

/// How many candidates of each side a hybrid search looks at, at least, where there are many items: to
/// look among those again costs far more than some hundred more candidates, and with few it often
/// takes a second look until no others can come between.
const HYBRID_WINDOW: usize = 512;

/// For how many stored items there is one of these candidates. Where there are fewer items, a second
/// look is cheaper than candidates that each side has to score for the other.
const ITEMS_PER_CANDIDATE: u64 = 200;

/// Items that are loaded at once. It bounds the documents in memory (1 MiB each at most) that are
/// not part of the answer to some 100 MiB.
pub(crate) const LOAD_AT_ONCE: usize = 128;

/// What to search for.
#[derive(Clone, Debug)]
pub struct Search {
    /// Where.
    pub prefix: NamespacePrefix,
    /// What documents must fulfil.
    pub filter: Option<Filter>,
    /// Which are best.
    pub order: Order,
    /// The index that this is of.
    pub index: Index,
    /// Halve ranks for every such span since the last update.
    pub half_life: Option<Duration>,
    /// Leave out what ranks lower.
    pub min_score: Option<f64>,
    /// Skip this many of the best.
    pub offset: usize,
    /// Return at most this many; at least 1.
    pub limit: usize,
    /// What is left for the documents of the page.
    pub room: Room,
    /// The present time.
    pub now: Time,
}

/// An item that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The item.
    pub item: Item,
    /// How well it matches, higher is better: the score, or the time of its last update in
    /// microseconds if there was no query.
    pub rank: f64,
}

/// Finds one page, best first, ties in order of (namespace, key).
///
/// # Errors
/// [`Failure`] if the page does not fit into the answer, or the store fails.
pub async fn search(
    store: &dyn Store,
    tenant: &Tenant,
    search: &Search,
) -> Result<Vec<Hit>, Failure> {
    let wanted = search.offset.saturating_add(search.limit);
    let mut window = wanted.saturating_add(MARGIN);
    let is_hybrid = matches!(search.order, Order::Hybrid { .. });
    if is_hybrid || search.half_life.is_some() {
        // The best by one score are not always the best of all.
        window = window.saturating_mul(GROWTH);
    }
    if is_hybrid {
        let many = store.known_size(tenant).unwrap_or(0) / ITEMS_PER_CANDIDATE;
        let many = usize::try_from(many).unwrap_or(usize::MAX);
        window = window.max(many.min(HYBRID_WINDOW));
    }
    loop {
        let load = if wanted <= LOAD_AT_ONCE { wanted } else { 0 };
        let Settled { candidates, all } = settle(store, tenant, search, window, load).await?;
        let mut page = Page::new(store, tenant, search);
        let complete = page.fill(candidates.into()).await?;
        if complete || all {
            return Ok(page.finish()?);
        }
        window = window.saturating_mul(GROWTH);
    }
}

/// Counts the items that fulfil a filter.
///
/// # Errors
/// [`StoreError`] if the store fails.
pub async fn count(
    store: &dyn Store,
    tenant: &Tenant,
    prefix: &NamespacePrefix,
    filter: &Filter,
    now: Time,
) -> Result<u64, StoreError> {
    let query = RankQuery {
        prefix: prefix.clone(),
        narrowing: Narrowing::of(filter),
        among: None,
        order: RankOrder::Newest,
        index: store.stage().searched(),
        limit: usize::MAX,
        load: 0,
        times: false,
        now,
    };
    let candidates = store.rank(tenant, query).await?;
    let mut count = 0;
    for chunk in candidates.chunks(LOAD_AT_ONCE) {
        let points = chunk.iter().map(|candidate| candidate.point).collect();
        for item in store.fetch(tenant, points, now).await?.iter().flatten() {
            count += u64::from(fulfils(filter, item).await?);
        }
    }
    Ok(count)
}

/// A check that took so long, of a long document or by a large filter, lets other calls have a turn.
const LONG_CHECK: Duration = Duration::from_millis(1);

pub(crate) async fn fulfils(filter: &Filter, item: &Item) -> Result<bool, StoreError> {
    let begin = Instant::now();
    let document = item
        .value
        .parse()
        .map_err(|error| StoreError::Corrupt(format!("the value of {}: {error}", item.id)))?;
    let fulfils = filter.matches(&document);
    if begin.elapsed() > LONG_CHECK {
        tokio::task::yield_now().await;
    }
    Ok(fulfils)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use futures::poll;
    use tokio::pin;

    use super::*;
    use crate::domain::{Document, Etag, ItemId, Json, Key, Namespace, Version};

    #[tokio::test]
    async fn a_long_check_lets_others_have_a_turn() {
        let mut conditions = String::new();
        for number in 0..100_000 {
            write!(conditions, r#"{{"n":{{"$gt":{number}}}}},"#).unwrap();
        }
        let filter = format!(r#"{{"$or":[{conditions}{{"n":0}}]}}"#);
        let filter = Filter::parse(&Json::parse(&filter).unwrap()).unwrap();
        let now = Time::from_micros(1);
        let item = Item {
            id: ItemId {
                namespace: Namespace::from_dotted("a"),
                key: Key::stored("k".to_owned()),
            },
            value: Document::stored(r#"{"n":0}"#.to_owned()).unwrap(),
            version: Version {
                create_time: now,
                update_time: now,
                expire_time: None,
                ttl: None,
                etag: Etag::fresh(),
            },
        };
        let check = fulfils(&filter, &item);
        pin!(check);
        assert!(poll!(&mut check).is_pending());
        assert_eq!(check.await, Ok(true));
    }
}
