//! Whether what is stored is consistent.
//!
//! What is at fault is looked at again: in a collection that services serve, it may have changed
//! between two looks.

use std::{
    collections::HashMap,
    io::{self, Write as _},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;
use service_runtime::{BoxError, Tenant};

use super::{AT_ONCE, attach, progress};
use crate::{
    config::Config,
    domain::{
        Clock as _, EmbedderIdentity, LabelPattern, Namespace, NamespacePrefix, NamespaceQuery,
        SystemClock, Time, filter::terms,
    },
    store::{
        RankOrder, RankQuery, StoreError,
        archive::{Archive, Record},
        index::Index,
    },
};

/// Faults that are shown; the others are counted.
const SHOWN: u64 = 20;

/// Items that are looked at beside each other.
const LOOKS: usize = 16;

/// Looks at what changes each time, until it is left alone: whoever changes it keeps it consistent,
/// or the next check finds out.
const TRIES: usize = 8;

/// What was found so far.
struct Findings {
    bar: ProgressBar,
    sound: u64,
    faults: u64,
}

impl Findings {
    fn fault(&mut self, fault: &str) -> io::Result<()> {
        self.faults += 1;
        if self.faults > SHOWN {
            return Ok(());
        }
        self.bar.suspend(|| writeln!(io::stdout(), "{fault}"))
    }
}

/// Items of namespaces, counted one by one.
type Tally = HashMap<Tenant, HashMap<Namespace, u64>>;

/// Checks everything; says what was checked on standard output.
pub(super) async fn check(config: &Config) -> Result<(), BoxError> {
    let (store, identity) = attach(config).await?;
    let store = &*store;
    let now = SystemClock.now();
    let mut findings = Findings {
        bar: progress::over(store.stored().await?),
        sound: 0,
        faults: 0,
    };
    for fault in store.faults().await? {
        findings.fault(&fault)?;
    }
    let tally = check_items(store, identity.as_ref(), now, &mut findings).await?;
    check_counts(store, &tally, now, &mut findings).await?;
    findings.bar.finish();
    store.close().await?;
    let Findings { sound, faults, .. } = findings;
    let namespaces: usize = tally.values().map(HashMap::len).sum();
    let embedder = EmbedderIdentity::shown(identity.as_ref());
    writeln!(
        io::stdout(),
        "{sound} items in {namespaces} namespaces are sound; their embedder is {embedder}"
    )?;
    match faults {
        0 => Ok(()),
        faults => Err(format!("{faults} faults were found").into()),
    }
}

async fn check_items(
    store: &dyn Archive,
    identity: Option<&EmbedderIdentity>,
    now: Time,
    findings: &mut Findings,
) -> Result<Tally, BoxError> {
    let mut tally = Tally::new();
    let mut from = None;
    loop {
        let part = store.records(from, AT_ONCE).await?;
        for record in part
            .records
            .iter()
            .filter_map(|record| record.as_ref().ok())
        {
            let Record { tenant, item, .. } = record;
            if item.version.is_live(now) {
                let namespaces = tally.entry(tenant.clone()).or_default();
                *namespaces.entry(item.id.namespace.clone()).or_default() += 1;
            }
        }
        let records = stream::iter(part.records);
        let looks = records.map(async |record| match record {
            Ok(record) => look_at(store, identity, record).await,
            Err(error) => Ok(Some(error.to_string())),
        });
        let looks: Vec<_> = looks.buffered(LOOKS).try_collect().await?;
        for fault in looks {
            match fault {
                None => findings.sound += 1,
                Some(fault) => findings.fault(&fault)?,
            }
            findings.bar.inc(1);
        }
        match part.next {
            Some(next) => from = Some(next),
            None => return Ok(tally),
        }
    }
}

/// What is wrong with a record that does not change.
async fn look_at(
    store: &dyn Archive,
    identity: Option<&EmbedderIdentity>,
    mut record: Record,
) -> Result<Option<String>, StoreError> {
    for _ in 0..TRIES {
        let Some(fault) = fault_of(store, identity, &record).await? else {
            return Ok(None);
        };
        let again = store.records(Some(record.place()), 1).await?;
        record = match again.records.into_iter().next() {
            Some(Ok(found)) if found.place() == record.place() => {
                if found.item.version == record.item.version {
                    return Ok(Some(fault));
                }
                found
            }
            // It has gone.
            Some(Ok(_)) | None => return Ok(None),
            Some(Err(error)) => return Ok(Some(error.to_string())),
        };
    }
    Ok(None)
}

/// What is wrong with a record.
async fn fault_of(
    store: &dyn Archive,
    identity: Option<&EmbedderIdentity>,
    record: &Record,
) -> Result<Option<String>, StoreError> {
    let Record {
        tenant,
        item,
        indexing: _,
        vectors,
        strays,
    } = record;
    let named = |what: &str| Ok(Some(format!("{} of `{tenant}`: {what}", item.id)));
    let Ok(document) = item.value.parse() else {
        return named("its value is not JSON");
    };
    if let [stray, ..] = strays.as_slice() {
        return named(&format!("its field `{stray}` does not follow from it"));
    }
    if item.version.expire_time.is_some() != item.version.ttl.is_some() {
        return named("it has a lifetime and no end, or an end and no lifetime");
    }
    let dims = identity.map_or(0, |identity| identity.dims);
    if vectors.meanings.iter().any(|vector| vector.len() != dims) {
        return named("its vectors are of another length than the embedder's");
    }
    let weights = vectors.words.iter().flat_map(|words| &words.weights);
    let mut numbers = vectors.meanings.iter().flatten().chain(weights);
    if numbers.any(|number| !number.is_finite()) {
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
    let query = |order| RankQuery {
        prefix: prefix.clone(),
        narrowing: narrowing.clone(),
        among: Some(vec![record.place()]),
        order,
        index: Index::Present,
        limit: 1,
        load: 0,
        times: false,
        now,
    };
    let words = vectors.words.clone().map(RankOrder::Words);
    let meaning = vectors.meanings.first().cloned().map(RankOrder::Meaning);
    for (order, fault) in [
        (Some(RankOrder::Newest), "no search finds it"),
        (words, "no search by words finds it"),
        (meaning, "no search by meaning finds it"),
    ] {
        if let Some(order) = order
            && store.rank(tenant, query(order)).await?.is_empty()
        {
            return named(fault);
        }
    }
    Ok(None)
}

/// Compares what is said of namespaces with what was found in them.
async fn check_counts(
    store: &dyn Archive,
    tally: &Tally,
    now: Time,
    findings: &mut Findings,
) -> Result<(), BoxError> {
    for (tenant, found) in tally {
        let listed = list(store, tenant, LabelPattern::default(), now).await?;
        let namespaces = found.keys().chain(listed.keys());
        let differing = namespaces.filter(|name| found.get(*name) != listed.get(*name));
        let differing: std::collections::BTreeSet<_> = differing.collect();
        for namespace in differing {
            if let Some((listed, held)) = miscount(store, tenant, namespace, now).await? {
                findings.fault(&format!(
                    "the namespace {namespace} of `{tenant}` is said to hold {listed} items, but holds {held}"
                ))?;
            }
        }
    }
    Ok(())
}

/// What a namespace is said to hold and what it holds, if that differs whenever it does not change.
async fn miscount(
    store: &dyn Archive,
    tenant: &Tenant,
    namespace: &Namespace,
    now: Time,
) -> Result<Option<(u64, u64)>, StoreError> {
    let mut miscount = None;
    for _ in 0..TRIES {
        let held = store.held(tenant, namespace, now).await?;
        let labels = namespace.labels().to_vec();
        let pattern = LabelPattern::prefix("namespace", labels).unwrap_or_default();
        let listed = list(store, tenant, pattern, now).await?;
        let listed = listed.get(namespace).copied().unwrap_or_default();
        if listed == held {
            return Ok(None);
        }
        let unchanged = store.held(tenant, namespace, now).await? == held;
        miscount = unchanged.then_some((listed, held));
    }
    Ok(miscount)
}

/// What the namespaces that begin as `prefix` says are said to hold.
async fn list(
    store: &dyn Archive,
    tenant: &Tenant,
    prefix: LabelPattern,
    now: Time,
) -> Result<HashMap<Namespace, u64>, StoreError> {
    let query = NamespaceQuery {
        prefix,
        limit: usize::MAX,
        ..NamespaceQuery::default()
    };
    let listed = store.namespaces(tenant, query, now).await?;
    let listed = listed.into_iter().map(|counted| {
        let namespace = Namespace::from_dotted(&counted.labels.join("."));
        (namespace, counted.items)
    });
    Ok(listed.collect())
}
