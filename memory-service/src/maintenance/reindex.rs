//! All words and vectors made anew, beside the old ones, which stay in force until all are done.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use service_runtime::BoxError;

use super::{AT_ONCE, embedding, open, progress};
use crate::{
    config::Config,
    domain::{Clock as _, Precondition, SystemClock, Time},
    embed::Embedding,
    lexical::Bm25,
    prepare::Preparation,
    request::{Lifetime, PutRequest},
    store::{
        Put, Store as _, StoreError, Vectors,
        archive::{Archive as _, Record},
        edge::{EdgeStore, Settings},
    },
};

/// Makes everything anew with the embedder and the index paths that are configured.
pub(super) async fn reindex(config: &Config) -> Result<(), BoxError> {
    let embedding = embedding(config).await?;
    let identity = embedding.as_ref().map(Embedding::identity);
    let preparation = Preparation {
        bm25: Arc::new(Bm25::new()?),
        defaults: Arc::new(config.defaults()?),
        embedding,
    };
    let (old, _) = open(config).await?;
    let settings: Settings = config.edge(identity.clone());
    let new = old.successor(settings).await?;
    let bar = progress::over(old.stored());
    let continued = new.stored() > 0;
    let mut from = None;
    loop {
        let part = old.records(from, AT_ONCE).await?;
        let read = part.records.len() as u64;
        let mut records = Vec::new();
        for record in part.records {
            let record = record?;
            if !continued || !is_done(&new, &record).await? {
                records.push(record);
            }
        }
        new.restore(renew(&preparation, records).await?).await?;
        bar.inc(read);
        match part.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    bar.finish();
    let items = new.stored();
    old.close().await?;
    new.commit().await?;
    let embedder = identity.map_or_else(|| "`none`".to_owned(), |identity| identity.to_string());
    writeln!(
        io::stdout(),
        "{items} items are indexed anew; their embedder is {embedder}"
    )?;
    Ok(())
}

async fn is_done(new: &EdgeStore, record: &Record) -> Result<bool, StoreError> {
    let Record { tenant, item, .. } = record;
    let found = new.get(tenant, &item.id, item.version.create_time).await?;
    Ok(found.is_some_and(|found| found.version.etag == item.version.etag))
}

/// The same records with words and vectors made anew; without those that have expired.
async fn renew(preparation: &Preparation, records: Vec<Record>) -> Result<Vec<Record>, BoxError> {
    let now: Time = SystemClock.now();
    let live = records
        .into_iter()
        .filter(|record| record.item.version.is_live(now));
    let mut records: Vec<_> = live.collect();
    let request = |record: &Record| PutRequest {
        id: record.item.id.clone(),
        value: record.item.value.clone(),
        indexing: record.indexing.clone(),
        lifetime: Lifetime::Unlimited,
        precondition: Precondition::None,
    };
    let requests = records.iter().map(request).collect();
    let puts = preparation.prepare(requests, now).await?;
    for (
        record,
        Put {
            words, meanings, ..
        },
    ) in records.iter_mut().zip(puts)
    {
        record.vectors = Vectors { words, meanings };
    }
    Ok(records)
}
