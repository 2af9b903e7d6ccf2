//! Whether what is stored is consistent.

use std::io::{self, Write as _};

use service_runtime::BoxError;

use super::{AT_ONCE, open, progress};
use crate::{
    config::Config,
    domain::{EmbedderIdentity, NamespacePrefix, filter::terms},
    store::{
        RankOrder, RankQuery, Store, StoreError,
        archive::{Archive as _, Record},
        index::Index,
    },
};

/// Faults that are shown; the others are counted.
const SHOWN: u64 = 20;

/// Checks everything; says what was checked on standard output.
pub(super) async fn check(config: &Config) -> Result<(), BoxError> {
    let (store, identity) = open(config).await?;
    let bar = progress::over(store.stored());
    let (mut sound, mut faults) = (0_u64, 0_u64);
    let mut from = None;
    loop {
        let part = store.records(from, AT_ONCE).await?;
        for record in part.records {
            let fault = match record {
                Ok(record) => fault_of(&store, identity.as_ref(), &record).await?,
                Err(error) => Some(error.to_string()),
            };
            match fault {
                None => sound += 1,
                Some(fault) => {
                    faults += 1;
                    if faults <= SHOWN {
                        bar.suspend(|| writeln!(io::stdout(), "{fault}"))?;
                    }
                }
            }
            bar.inc(1);
        }
        match part.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    bar.finish();
    store.close().await?;
    let embedder = identity.map_or_else(|| "`none`".to_owned(), |identity| identity.to_string());
    writeln!(
        io::stdout(),
        "{sound} items are sound; their embedder is {embedder}"
    )?;
    match faults {
        0 => Ok(()),
        faults => Err(format!("{faults} items are not sound").into()),
    }
}

/// What is wrong with a record.
async fn fault_of(
    store: &dyn Store,
    identity: Option<&EmbedderIdentity>,
    record: &Record,
) -> Result<Option<String>, StoreError> {
    let Record {
        tenant,
        item,
        indexing: _,
        vectors,
    } = record;
    let named = |what: &str| Ok(Some(format!("{} of `{tenant}`: {what}", item.id)));
    let Ok(document) = item.value.parse() else {
        return named("its value is not JSON");
    };
    if item.version.expire_time.is_some() != item.version.ttl.is_some() {
        return named("it has a lifetime and no end, or an end and no lifetime");
    }
    let dims = identity.map_or(0, |identity| identity.dims);
    if vectors.meanings.iter().any(|vector| vector.len() != dims) {
        return named("its vectors are of another length than the embedder's");
    }
    if vectors
        .meanings
        .iter()
        .flatten()
        .any(|number| !number.is_finite())
    {
        return named("its vectors hold what is no number");
    }
    let now = item.version.update_time;
    if !item.version.is_live(now) {
        return Ok(None);
    }
    // What an index lacks is found by nobody, so it is asked for.
    let terms = terms::of_document(&document).into_iter();
    let narrowing = terms::Narrowing {
        clauses: terms.map(|term| vec![term]).collect(),
    };
    let labels = item.id.namespace.labels().to_vec();
    let Ok(prefix) = NamespacePrefix::try_new("namespace", labels) else {
        return named("its namespace is none");
    };
    let query = RankQuery {
        prefix,
        narrowing,
        among: Some(vec![record.place()]),
        order: RankOrder::Newest,
        index: Index::Present,
        limit: 1,
        load: 0,
        times: false,
        now,
    };
    if store.rank(tenant, query.clone()).await?.is_empty() {
        return named("no search finds it");
    }
    if let Some(vector) = vectors.meanings.first() {
        let query = RankQuery {
            order: RankOrder::Meaning(vector.clone()),
            ..query
        };
        if store.rank(tenant, query).await?.is_empty() {
            return named("no search by meaning finds it");
        }
    }
    Ok(None)
}
