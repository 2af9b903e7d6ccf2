//! The collection: made on first use by whichever replica comes first, and checked by each.

use std::{collections::HashMap, time::Duration};

use qdrant_client::qdrant::{
    CollectionExistsRequest, CollectionInfo, CreateCollection, Distance, GetCollectionInfoRequest,
    HealthCheckRequest, HnswConfigDiff, Modifier, MultiVectorComparator, MultiVectorConfig,
    SparseVectorConfig, SparseVectorParams, VectorParams, VectorParamsMap, VectorsConfig,
    vectors_config::Config as Vectors,
};
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::{
    connection::Connection,
    description::{self, Description},
    indexes::names,
    open::{LEAST_VERSION, OpenError, minor_version},
    payload_indexes::{create_payload_indexes, payload_indexes},
    renewal,
    settings::QdrantSettings,
};
use crate::{
    domain::IndexIdentity,
    store::{
        StoreError,
        point::{MEANINGS, WORDS},
    },
};

/// Between two looks at a collection that does not answer yet.
const PAUSE: Duration = Duration::from_millis(100);

/// Refuses servers that are older than what this engine asks of them.
pub(super) async fn check_version(connection: &Connection, url: &str) -> Result<(), OpenError> {
    let mut server = connection.server();
    let health = connection.answer(server.health_check(HealthCheckRequest {}));
    let found = health.await?.version;
    match minor_version(&found) {
        Some(version) if version >= LEAST_VERSION => Ok(()),
        _ => Err(OpenError::Version {
            url: url.to_owned(),
            found,
        }),
    }
}

/// Makes the collection if it is not there, and what is missing of it.
pub(super) async fn prepare(
    connection: &Connection,
    settings: &QdrantSettings,
) -> Result<[u8; description::SECRET_BYTES], OpenError> {
    let dims = dims(connection.indexing.present());
    let is_there = exists(connection).await?;
    let attempt = || async move {
        if !is_there {
            create(connection, settings, dims).await?;
        }
        complete(connection, dims).await
    };
    let found = patiently(connection, attempt).await?;
    let description = description::check(connection, found)?;
    renewal::begin(connection, description.clone()).await?;
    Ok(description.secret)
}

/// Does what needs a collection that answers, again and again for as long as a call may take: a
/// cluster needs time to agree on a new one, and tells of it before it has copies that answer.
async fn patiently<T, F: Future<Output = Result<T, OpenError>>>(
    connection: &Connection,
    attempt: impl Fn() -> F,
) -> Result<T, OpenError> {
    let mut given_up = None;
    loop {
        let cause = match attempt().await {
            Err(OpenError::Store(StoreError::Unavailable(cause))) => cause,
            outcome => return outcome,
        };
        let given_up = *given_up.get_or_insert(Instant::now() + connection.timeout);
        if Instant::now() >= given_up {
            return Err(StoreError::Unavailable(cause).into());
        }
        tracing::info!(cause, "the collection does not answer yet");
        sleep(PAUSE).await;
    }
}

/// Makes what is missing of a collection; answers with what it says of itself.
async fn complete(
    connection: &Connection,
    dims: Option<u64>,
) -> Result<Result<Description, String>, OpenError> {
    let info = info(connection).await?;
    let foreign = || OpenError::Foreign(connection.collection.clone());
    if !has_words(&info) {
        return Err(foreign());
    }
    warn_of_shards(connection, &info);
    let found = match description::read(connection).await? {
        Some(found) => found,
        None if dims_of(&info, MEANINGS) != dims => {
            let shown = |dims: Option<u64>| match dims {
                Some(dims) => format!("vectors of {dims} dimensions"),
                None => "`none`".to_owned(),
            };
            return Err(OpenError::Embedder {
                collection: connection.collection.clone(),
                found: shown(dims_of(&info, MEANINGS)),
                configured: shown(dims),
            });
        }
        None => {
            let holds_points = description::holds_points(connection).await?;
            if holds_points && description::read(connection).await?.is_none() {
                return Err(foreign());
            }
            description::write(connection).await?;
            description::read(connection).await?.ok_or_else(foreign)?
        }
    };
    create_payload_indexes(connection, &info).await?;
    Ok(found)
}

/// What the collection says of its indexes' configuration, if it is there and says so; without
/// making anything.
pub(super) async fn indexed_with(
    connection: &Connection,
) -> Result<Option<IndexIdentity>, OpenError> {
    if !exists(connection).await? {
        return Ok(None);
    }
    let read = || async { Ok(description::read(connection).await?) };
    let found = patiently(connection, read).await?;
    let description = found.and_then(Result::ok);
    Ok(description.map(|description| description.indexes.searched.index))
}

/// What is wrong with how the collection is made; a sentence each.
pub(super) async fn faults(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let info = info(connection).await?;
    let mut faults = Vec::new();
    for (name, index) in payload_indexes() {
        match info.payload_schema.get(name) {
            None => faults.push(format!(
                "the index of `{name}` is not there; the service makes it when it starts"
            )),
            Some(found) if found.data_type() != index.schema_type() => {
                faults.push(format!("the index of `{name}` is of another type"));
            }
            Some(_) => {}
        }
    }
    if !has_words(&info) {
        faults.push("the vectors of words are not weighed by how rare the words are".to_owned());
    }
    let searched = description::look(connection).await?.indexes.searched;
    let [_, meanings] = names(searched.number);
    if dims_of(&info, &meanings) != dims(&searched.index) {
        faults.push("its vectors are of other dimensions than its embedder's".to_owned());
    }
    Ok(faults)
}

/// How long the vectors of an index are; `None` if there are none.
pub(super) fn dims(index: &IndexIdentity) -> Option<u64> {
    let embedder = index.embedder.as_ref();
    embedder.map(|embedder| embedder.dims as u64)
}

pub(super) fn max_sim() -> MultiVectorConfig {
    MultiVectorConfig {
        comparator: MultiVectorComparator::MaxSim.into(),
    }
}

async fn exists(connection: &Connection) -> Result<bool, StoreError> {
    let request = CollectionExistsRequest {
        collection_name: connection.collection.clone(),
    };
    let mut collections = connection.collections();
    let answer = connection.answer(collections.collection_exists(request));
    Ok(answer.await?.result.is_some_and(|result| result.exists))
}

async fn create(
    connection: &Connection,
    settings: &QdrantSettings,
    dims: Option<u64>,
) -> Result<(), StoreError> {
    let meanings = dims.map(|size| {
        let params = VectorParams {
            size,
            distance: Distance::Cosine.into(),
            multivector_config: Some(max_sim()),
            ..VectorParams::default()
        };
        (MEANINGS.to_owned(), params)
    });
    let words = SparseVectorParams {
        modifier: Some(Modifier::Idf.into()),
        ..SparseVectorParams::default()
    };
    let request = CreateCollection {
        collection_name: connection.collection.clone(),
        vectors_config: Some(VectorsConfig {
            config: Some(Vectors::ParamsMap(VectorParamsMap {
                map: meanings.into_iter().collect(),
            })),
        }),
        sparse_vectors_config: Some(SparseVectorConfig {
            map: HashMap::from([(WORDS.to_owned(), words)]),
        }),
        // Every search is exact, so that nothing would use a graph.
        hnsw_config: Some(HnswConfigDiff {
            m: Some(0),
            ..HnswConfigDiff::default()
        }),
        shard_number: settings.shards.map(u32::from),
        replication_factor: settings.replication_factor.map(u32::from),
        write_consistency_factor: settings.write_consistency_factor.map(u32::from),
        ..CreateCollection::default()
    };
    let mut collections = connection.collections();
    match connection.outcome(collections.create(request)).await {
        Ok(_) => Ok(()),
        // Another replica was faster. What servers answer then differs between versions.
        Err(status) if status.code() != Code::Unavailable && exists(connection).await? => Ok(()),
        Err(status) => Err(connection.fault(&status)),
    }
}

pub(super) async fn info(connection: &Connection) -> Result<CollectionInfo, StoreError> {
    let request = GetCollectionInfoRequest {
        collection_name: connection.collection.clone(),
    };
    let mut collections = connection.collections();
    let info = connection.answer(collections.get(request)).await?.result;
    info.ok_or_else(|| StoreError::Internal("Qdrant describes no collection".into()))
}

/// A server counts within each shard how rare words are. With several, equal documents of different
/// shards have different scores.
fn warn_of_shards(connection: &Connection, info: &CollectionInfo) {
    let params = info.config.as_ref();
    let params = params.and_then(|config| config.params.as_ref());
    let shards = params.map_or(1, |params| params.shard_number);
    if shards > 1 {
        tracing::warn!(
            collection = connection.collection,
            shards,
            "the rarity of words is counted within each shard, so that scores of words are approximate"
        );
    }
}

/// Whether the words of the index that is searched, whichever that is, weigh by how rare they are.
fn has_words(info: &CollectionInfo) -> bool {
    let params = info
        .config
        .as_ref()
        .and_then(|config| config.params.as_ref());
    let sparse = params.and_then(|params| params.sparse_vectors_config.as_ref());
    let mut words = sparse.into_iter().flat_map(|sparse| &sparse.map);
    words.any(|(name, words)| {
        name.starts_with(WORDS) && words.modifier == Some(Modifier::Idf.into())
    })
}

fn dims_of(info: &CollectionInfo, meanings: &str) -> Option<u64> {
    let params = info.config.as_ref()?.params.as_ref()?;
    match params.vectors_config.as_ref()?.config.as_ref()? {
        Vectors::ParamsMap(named) => named.map.get(meanings).map(|meanings| meanings.size),
        Vectors::Params(_) => None,
    }
}
