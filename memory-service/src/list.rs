//! Listing: pages of items in order of (namespace, key).

use service_runtime::Tenant;

use crate::{
    domain::{Filter, Item, ItemId, NamespacePrefix, Time, filter::terms::Narrowing},
    search::{LOAD_AT_ONCE, fulfils},
    store::{Store, StoreError, WalkQuery},
};

/// From so many bytes of documents on, a page is full whatever it was to hold, so that it stays
/// within the 4 MiB that gRPC clients take by default.
const FULL_PAGE_BYTES: usize = 2 << 20;

/// Which page to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Where.
    pub prefix: NamespacePrefix,
    /// What documents must fulfil.
    pub filter: Option<Filter>,
    /// The last item of the page before; it need not exist any more.
    pub after: Option<ItemId>,
    /// At most this many items; at least 1.
    pub limit: usize,
    /// The present time.
    pub now: Time,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The items.
    pub items: Vec<Item>,
    /// Whether there are more after these.
    pub more: bool,
}

/// Lists one page.
///
/// # Errors
/// [`StoreError`] if the store fails.
pub async fn list(
    store: &dyn Store,
    tenant: &Tenant,
    query: ListQuery,
) -> Result<Listed, StoreError> {
    let ListQuery {
        prefix,
        filter,
        mut after,
        limit,
        now,
    } = query;
    let narrowing = filter.as_ref().map(Narrowing::of).unwrap_or_default();
    let (mut items, mut bytes) = (Vec::new(), 0);
    loop {
        // One more than fits, to know whether there is one.
        let wanted = (limit + 1 - items.len()).min(LOAD_AT_ONCE);
        let walk = WalkQuery {
            prefix: prefix.clone(),
            narrowing: narrowing.clone(),
            after,
            limit: wanted,
            now,
        };
        let found = store.walk(tenant, walk).await?;
        let all = found.len() < wanted;
        after = found.last().map(|item| item.id.clone());
        for item in found {
            if let Some(filter) = &filter
                && !fulfils(filter, &item).await?
            {
                continue;
            }
            if items.len() == limit || bytes >= FULL_PAGE_BYTES {
                return Ok(Listed { items, more: true });
            }
            bytes += item.value.text().len();
            items.push(item);
        }
        if all {
            return Ok(Listed { items, more: false });
        }
    }
}
