//! How items are laid out in the engine: indexes and vectors.

use qdrant_edge::{
    CreateIndex, Distance, EdgeConfig, EdgeOptimizersConfig, EdgeShard, EdgeSparseVectorParams,
    EdgeVectorParams, FieldIndexOperations, IntegerIndexParamsBuilder, JsonPath,
    KeywordIndexParamsBuilder, Modifier, MultiVectorComparator, MultiVectorConfig,
    PayloadFieldSchema, PayloadSchemaParams, UpdateOperation,
};

use super::shared::engine_error;
use crate::store::{
    StoreError,
    point::{EXPIRE_TIME, MEANINGS, SCOPES, TENANT, TERMS, UPDATE_TIME, WORDS},
};

/// The engine's settings, for vectors of so many dimensions, and when it is to optimise what.
pub(super) fn config(dims: Option<usize>, optimisers: EdgeOptimizersConfig) -> EdgeConfig {
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
        .optimizers(optimisers)
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
