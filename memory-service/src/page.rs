//! One page of a search, filled from candidates: those of equal rank are put in order of (namespace,
//! key), and filters are checked on the documents.

use std::collections::VecDeque;

use service_runtime::Tenant;

use crate::{
    domain::{Item, ItemId},
    failure::Failure,
    room::NoRoom,
    search::{Hit, LOAD_AT_ONCE, Search, fulfils},
    store::{PointId, Ranked, Store, StoreError},
};

/// A page on its way.
pub(crate) struct Page<'a> {
    store: &'a dyn Store,
    tenant: &'a Tenant,
    search: &'a Search,
    to_skip: usize,
    hits: Vec<Hit>,
    /// Of their documents.
    bytes: usize,
}

impl<'a> Page<'a> {
    pub(crate) fn new(store: &'a dyn Store, tenant: &'a Tenant, search: &'a Search) -> Self {
        Self {
            store,
            tenant,
            search,
            to_skip: search.offset,
            hits: Vec::new(),
            bytes: 0,
        }
    }

    /// What is on the page, which has its room in the answer from now on.
    pub(crate) fn finish(self) -> Result<Vec<Hit>, NoRoom> {
        self.search.room.take(self.bytes)?;
        Ok(self.hits)
    }

    /// Fills the page from whole groups of candidates; whether more would not change it.
    pub(crate) async fn fill(&mut self, mut candidates: VecDeque<Ranked>) -> Result<bool, Failure> {
        while let Some(rank) = candidates.front().map(|best| best.rank) {
            if self.search.min_score.is_some_and(|least| rank < least) {
                return Ok(true);
            }
            #[expect(clippy::float_cmp, reason = "ties are ranks that are the same number")]
            let size = candidates
                .iter()
                .take_while(|candidate| candidate.rank == rank)
                .count();
            if self.search.filter.is_none() && size <= self.to_skip {
                candidates.drain(..size);
                self.to_skip -= size;
                continue;
            }
            if size > LOAD_AT_ONCE {
                let group = candidates.drain(..size).map(|candidate| candidate.point);
                self.take_large_group(&group.collect::<Vec<_>>(), rank)
                    .await?;
            } else {
                self.load(&mut candidates, size).await?;
                self.take_group(candidates.drain(..size), rank).await?;
            }
            if self.hits.len() == self.search.limit {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes sure that the next `size` candidates have their items, if those are still there.
    async fn load(&self, candidates: &mut VecDeque<Ranked>, size: usize) -> Result<(), StoreError> {
        let missing = |candidate: &Ranked| candidate.item.is_none();
        if !candidates.iter().take(size).any(missing) {
            return Ok(());
        }
        // The groups after this one will be needed, too: as far as the page goes, if nothing is
        // filtered out.
        let to_come = match self.search.filter {
            Some(_) => LOAD_AT_ONCE,
            None => LOAD_AT_ONCE.min(self.to_skip + self.search.limit - self.hits.len()),
        };
        let wanted: Vec<_> = candidates
            .iter_mut()
            .take(size.max(to_come))
            .filter(|one| missing(one))
            .collect();
        let points = wanted.iter().map(|candidate| candidate.point).collect();
        let items = self.fetch(points).await?;
        for (candidate, item) in wanted.into_iter().zip(items) {
            candidate.item = item;
        }
        Ok(())
    }

    async fn take_group(
        &mut self,
        group: impl Iterator<Item = Ranked>,
        rank: f64,
    ) -> Result<(), Failure> {
        let mut items = Vec::new();
        for item in group.filter_map(|candidate| candidate.item) {
            if self.passes(&item).await? {
                items.push(item);
            }
        }
        items.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let skipped = self.to_skip.min(items.len());
        self.to_skip -= skipped;
        let missing = self.missing();
        for item in items.into_iter().skip(skipped).take(missing) {
            self.add(item, rank)?;
        }
        Ok(())
    }

    /// The same with a group that is not to be in memory as a whole. It is put in order by names alone,
    /// of as many as can be on the page, and those that are have their items read again.
    async fn take_large_group(&mut self, group: &[PointId], rank: f64) -> Result<(), Failure> {
        // As many as can be on the page, and some for those that go before they are read again.
        let kept = self.to_skip + self.missing() + LOAD_AT_ONCE;
        let mut named = Vec::new();
        for points in group.chunks(LOAD_AT_ONCE) {
            let items = self.fetch(points.to_vec()).await?;
            for (item, &point) in items.into_iter().zip(points) {
                if let Some(item) = item
                    && self.passes(&item).await?
                {
                    named.push((item.id, point));
                }
            }
            if named.len() > 2 * kept {
                keep_first(&mut named, kept);
            }
        }
        keep_first(&mut named, kept);
        let skipped = self.to_skip.min(named.len());
        self.to_skip -= skipped;
        for named in named[skipped..].chunks(LOAD_AT_ONCE) {
            if self.missing() == 0 {
                break;
            }
            let points = named.iter().map(|&(_, point)| point).collect();
            for item in self.fetch(points).await?.into_iter().flatten() {
                if self.missing() > 0 && self.passes(&item).await? {
                    self.add(item, rank)?;
                }
            }
        }
        Ok(())
    }

    async fn fetch(&self, points: Vec<PointId>) -> Result<Vec<Option<Item>>, StoreError> {
        self.store.fetch(self.tenant, points, self.search.now).await
    }

    async fn passes(&self, item: &Item) -> Result<bool, StoreError> {
        match &self.search.filter {
            Some(filter) => fulfils(filter, item).await,
            None => Ok(true),
        }
    }

    fn missing(&self) -> usize {
        self.search.limit - self.hits.len()
    }

    fn add(&mut self, item: Item, rank: f64) -> Result<(), NoRoom> {
        self.bytes += item.value.text().len();
        if self.bytes > self.search.room.left() {
            return Err(NoRoom);
        }
        self.hits.push(Hit { item, rank });
        Ok(())
    }
}

/// Leaves the first ones, in order.
fn keep_first(named: &mut Vec<(ItemId, PointId)>, count: usize) {
    named.sort_unstable();
    named.truncate(count);
}
