//! How items are laid out in the engine: fields, indexes, vectors.

use qdrant_edge::{
    CreateIndex, Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams, EdgeVectorParams,
    FieldIndexOperations, IntegerIndexParamsBuilder, JsonPath, KeywordIndexParamsBuilder, Modifier,
    MultiVectorComparator, MultiVectorConfig, PayloadFieldSchema, PayloadSchemaParams,
    UpdateOperation,
};

use super::shared::engine_error;
use crate::store::StoreError;

/// The tenant.
pub(super) const TENANT: &str = "tenant";
/// The namespace with dots between its labels.
pub(super) const NAMESPACE: &str = "namespace";
/// The namespace and those above it, each as `tenant.label.label`.
pub(super) const SCOPES: &str = "scopes";
/// The key.
pub(super) const KEY: &str = "key";
/// The exact text of the document.
pub(super) const VALUE: &str = "value";
/// What filters narrow down by.
pub(super) const TERMS: &str = "terms";
/// What the put said about indexing: absent for nothing, `false` for none, else the paths.
pub(super) const INDEX: &str = "index";
/// Microseconds since the Unix epoch.
pub(super) const CREATE_TIME: &str = "create_time";
/// Microseconds since the Unix epoch.
pub(super) const UPDATE_TIME: &str = "update_time";
/// Microseconds since the Unix epoch; absent for never.
pub(super) const EXPIRE_TIME: &str = "expire_time";
/// Microseconds; absent for none.
pub(super) const TTL: &str = "ttl";
/// The version.
pub(super) const ETAG: &str = "etag";

/// The sparse vector of an item's words.
pub(super) const WORDS: &str = "words";

/// The vectors of an item's texts, as many as there are texts.
pub(super) const MEANINGS: &str = "meanings";

/// The engine's settings, for vectors of so many dimensions.
pub(super) fn config(dims: Option<usize>) -> EdgeConfig {
    let words = EdgeSparseVectorParams::builder()
        .modifier(Modifier::Idf)
        .build();
    let mut config = EdgeConfig::builder();
    if let Some(dims) = dims {
        let meanings = EdgeVectorParams::builder(dims, Distance::Cosine)
            .multivector_config(MultiVectorConfig {
                comparator: MultiVectorComparator::MaxSim,
            })
            .build();
        config = config.vector(MEANINGS, meanings);
    }
    config
        .sparse_vector(WORDS, words)
        // Calls run beside each other; splitting a single one up would only add switches.
        .max_search_threads(1)
        .build()
}

/// A field as the engine addresses it.
pub(super) fn field(name: &'static str) -> JsonPath {
    JsonPath {
        first_key: name.to_owned(),
        rest: Vec::new(),
    }
}

/// Makes the indexes that are not there yet.
pub(super) fn create_indexes(shard: &EdgeShard) -> Result<(), StoreError> {
    let keyword = |is_tenant| {
        let params = KeywordIndexParamsBuilder::new().is_tenant(is_tenant);
        PayloadSchemaParams::Keyword(params.build())
    };
    let integer = |lookup, range| {
        let params = IntegerIndexParamsBuilder::new().lookup(lookup).range(range);
        PayloadSchemaParams::Integer(params.build())
    };
    let indexes = [
        (TENANT, keyword(true)),
        (SCOPES, keyword(false)),
        (TERMS, integer(true, false)),
        (UPDATE_TIME, integer(false, true)),
        (EXPIRE_TIME, integer(false, true)),
    ];
    let existing = shard.info().map_err(engine_error)?.payload_schema;
    for (name, params) in indexes {
        if !existing.contains_key(&field(name)) {
            let index = CreateIndex {
                field_name: field(name),
                field_schema: Some(PayloadFieldSchema::FieldParams(params)),
            };
            let operation = FieldIndexOperations::CreateIndex(index);
            shard
                .update(UpdateOperation::FieldIndexOperation(operation))
                .map_err(engine_error)?;
        }
    }
    Ok(())
}
