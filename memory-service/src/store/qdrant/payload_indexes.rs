//! What the fields of points are looked up, compared and ordered by.

use qdrant_client::qdrant::{
    CollectionInfo, CreateFieldIndexCollection, FieldType, IntegerIndexParams, KeywordIndexParams,
    PayloadIndexParams, PayloadSchemaType, payload_index_params::IndexParams,
};

use super::{
    connection::{Connection, done, strong},
    point::{INDEXED, ORDER},
    registry::REGISTRY,
};
use crate::store::{
    StoreError,
    point::{ETAG, EXPIRE_TIME, NAMESPACE, SCOPES, TENANT, TERMS, UPDATE_TIME},
};

/// What a field is indexed for.
#[derive(Clone, Copy)]
pub(super) enum Index {
    /// Texts, one of which may be the tenant.
    Keyword { is_tenant: bool },
    /// Etags.
    Uuid,
    /// Numbers, looked up or compared.
    Integer { lookup: bool, range: bool },
}

impl Index {
    fn request(self) -> (FieldType, Option<IndexParams>) {
        match self {
            Self::Keyword { is_tenant } => {
                let params = KeywordIndexParams {
                    is_tenant: Some(is_tenant),
                    ..KeywordIndexParams::default()
                };
                let params = IndexParams::KeywordIndexParams(params);
                (FieldType::Keyword, Some(params))
            }
            Self::Uuid => (FieldType::Uuid, None),
            Self::Integer { lookup, range } => {
                let params = IntegerIndexParams {
                    lookup: Some(lookup),
                    range: Some(range),
                    ..IntegerIndexParams::default()
                };
                let params = IndexParams::IntegerIndexParams(params);
                (FieldType::Integer, Some(params))
            }
        }
    }

    /// What the server calls it once it is there.
    pub(super) fn schema_type(self) -> PayloadSchemaType {
        match self {
            Self::Keyword { .. } => PayloadSchemaType::Keyword,
            Self::Uuid => PayloadSchemaType::Uuid,
            Self::Integer { .. } => PayloadSchemaType::Integer,
        }
    }
}

/// The fields of a collection that are indexed.
pub(super) fn payload_indexes() -> [(&'static str, Index); 12] {
    let keyword = Index::Keyword { is_tenant: false };
    let integer = |lookup, range| Index::Integer { lookup, range };
    [
        (TENANT, Index::Keyword { is_tenant: true }),
        (NAMESPACE, keyword),
        (SCOPES, keyword),
        (REGISTRY, keyword),
        (ETAG, Index::Uuid),
        (TERMS, integer(true, false)),
        (INDEXED, integer(true, false)),
        (UPDATE_TIME, integer(false, true)),
        (EXPIRE_TIME, integer(false, true)),
        (ORDER[0], integer(true, true)),
        (ORDER[1], integer(true, true)),
        (ORDER[2], integer(true, true)),
    ]
}

/// Makes the indexes that are not there yet. To make one twice changes nothing.
pub(super) async fn create_payload_indexes(
    connection: &Connection,
    info: &CollectionInfo,
) -> Result<(), StoreError> {
    for (name, index) in payload_indexes() {
        if info.payload_schema.contains_key(name) {
            continue;
        }
        let (field_type, params) = index.request();
        let request = CreateFieldIndexCollection {
            collection_name: connection.collection.clone(),
            wait: Some(true),
            field_name: name.to_owned(),
            field_type: Some(field_type.into()),
            field_index_params: params.map(|params| PayloadIndexParams {
                index_params: Some(params),
            }),
            ordering: strong(),
            ..CreateFieldIndexCollection::default()
        };
        let mut points = connection.points();
        let answer = connection.answer(points.create_field_index(request));
        done(&answer.await?.result)?;
    }
    Ok(())
}
