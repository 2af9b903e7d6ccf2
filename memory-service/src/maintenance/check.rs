//! Whether what is stored is consistent.
//!
//! What is at fault is looked at again: in a collection that services serve, it may have changed
//! between two looks.

use std::{
    collections::HashMap,
    io::{self, Write as _},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use service_runtime::{BoxError, Tenant};

use super::{AT_ONCE, attach, findings::Findings, progress, soundness::Soundness};
use crate::{
    config::Config,
    domain::{
        Clock as _, EmbedderIdentity, LabelPattern, Namespace, NamespaceQuery, SystemClock, Time,
    },
    store::{
        StoreError,
        archive::{Archive, Record},
    },
};

/// Items that are looked at beside each other.
const LOOKS: usize = 16;

/// Looks at what changes each time, until it is left alone: whoever changes it keeps it consistent,
/// or the next check finds out.
const TRIES: usize = 8;

/// Items of namespaces, counted one by one.
type Tally = HashMap<Tenant, HashMap<Namespace, u64>>;

/// Checks everything; says what was checked on standard output.
pub(super) async fn check(config: &Config) -> Result<(), BoxError> {
    let index = super::indexed_with(config).await?;
    let (store, identity) = attach(config).await?;
    let store = &*store;
    let soundness = Soundness::of(store, index)?;
    let now = SystemClock.now();
    let mut findings = Findings::beside(progress::over(store.stored().await?));
    for fault in store.faults().await? {
        findings.fault(&fault)?;
    }
    let (tally, sound) = check_items(&soundness, now, &mut findings).await?;
    check_counts(store, &tally, now, &mut findings).await?;
    findings.bar.finish();
    store.close().await?;
    let namespaces: usize = tally.values().map(HashMap::len).sum();
    let embedder = EmbedderIdentity::shown(identity.as_ref());
    writeln!(
        io::stdout(),
        "{sound} items in {namespaces} namespaces are sound; their embedder is {embedder}"
    )?;
    match findings.faults {
        0 => Ok(()),
        faults => Err(format!("{faults} faults were found").into()),
    }
}

/// Checks each item; what it counted, and how many were sound.
async fn check_items(
    soundness: &Soundness<'_>,
    now: Time,
    findings: &mut Findings,
) -> Result<(Tally, u64), BoxError> {
    let (mut tally, mut sound) = (Tally::new(), 0);
    let mut from = None;
    loop {
        let part = soundness.store.records(from, AT_ONCE).await?;
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
            Ok(record) => look_at(soundness, record).await,
            Err(error) => Ok(Some(error.to_string())),
        });
        let looks: Vec<_> = looks.buffered(LOOKS).try_collect().await?;
        for fault in looks {
            match fault {
                None => sound += 1,
                Some(fault) => findings.fault(&fault)?,
            }
            findings.bar.inc(1);
        }
        match part.next {
            Some(next) => from = Some(next),
            None => return Ok((tally, sound)),
        }
    }
}

/// What is wrong with a record that does not change.
async fn look_at(
    soundness: &Soundness<'_>,
    mut record: Record,
) -> Result<Option<String>, StoreError> {
    for _ in 0..TRIES {
        let Some(fault) = soundness.fault_of(&record).await? else {
            return Ok(None);
        };
        let again = soundness.store.records(Some(record.place()), 1).await?;
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
