//! Items as points of the engine, and back.

use std::collections::HashMap;

use qdrant_edge::{
    Payload, PayloadSelector, PayloadSelectorExclude, PayloadSelectorInclude, PointId as EngineId,
    PointStructPersisted, SparseVector, VectorInternal, VectorPersisted, VectorStructInternal,
    VectorStructPersisted, WithPayloadInterface,
};
use service_runtime::Tenant;

use super::schema::field;
use crate::{
    domain::{ItemId, Version},
    lexical::WordVector,
    store::{
        Vectors,
        index::Index,
        point::{Body, LARGE, MEANINGS, WORDS, payload, point_id},
    },
};

/// Makes the point of an item in one index.
pub(super) fn encode(
    tenant: &Tenant,
    id: &ItemId,
    version: &Version,
    body: &Body,
    index: Index,
) -> PointStructPersisted {
    let mut vectors = HashMap::new();
    let Vectors {
        words,
        meanings: texts,
    } = body.vectors.get(index).cloned().unwrap_or_default();
    if let Some(WordVector { words, weights }) = words {
        let vector = SparseVector {
            indices: words,
            values: weights,
        };
        vectors.insert(WORDS.to_owned(), VectorPersisted::Sparse(vector));
    }
    if !texts.is_empty() {
        let meanings = VectorPersisted::MultiDense(texts);
        vectors.insert(MEANINGS.to_owned(), meanings);
    }
    PointStructPersisted {
        id: EngineId::Uuid(point_id(tenant, id).0),
        vector: VectorStructPersisted::Named(vectors),
        payload: Some(Payload(payload(tenant, id, version, body))),
    }
}

/// Reads the vectors of a point back.
pub(super) fn decode_vectors(vectors: Option<VectorStructInternal>) -> Vectors {
    let mut decoded = Vectors::default();
    let Some(VectorStructInternal::Named(vectors)) = vectors else {
        return decoded;
    };
    for vector in vectors.into_values() {
        match vector {
            VectorInternal::Sparse(SparseVector { indices, values }) => {
                decoded.words = Some(WordVector {
                    words: indices,
                    weights: values,
                });
            }
            VectorInternal::MultiDense(vectors) => {
                let meanings = vectors.flattened_vectors.chunks(vectors.dim.max(1));
                decoded.meanings = meanings.map(<[f32]>::to_vec).collect();
            }
            VectorInternal::Dense(vector) => decoded.meanings = vec![vector],
        }
    }
    decoded
}

/// All fields but the large ones: what a write needs to know of the item that is there.
pub(super) fn without_value() -> WithPayloadInterface {
    let exclude = LARGE.map(field).into();
    WithPayloadInterface::Selector(PayloadSelector::Exclude(PayloadSelectorExclude { exclude }))
}

/// Nothing but one field.
pub(super) fn only(name: &'static str) -> WithPayloadInterface {
    let include = vec![field(name)];
    WithPayloadInterface::Selector(PayloadSelector::Include(PayloadSelectorInclude { include }))
}
