//! Indexes, and what they are good for. As in a server's strict mode, a condition without its index
//! is refused.

use std::collections::BTreeMap;

use qdrant_client::qdrant::{
    CreateFieldIndexCollection, FieldType, IntegerIndexParams, KeywordIndexParams,
    PayloadIndexParams, PayloadSchemaInfo, PayloadSchemaType, payload_index_params::IndexParams,
};
use qdrant_edge::{
    IntegerIndexParamsBuilder, KeywordIndexParamsBuilder, PayloadFieldSchema, PayloadSchemaParams,
    UuidIndexParamsBuilder,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::refusal::{invalid, unknown};

/// One index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Index {
    Keyword { is_tenant: bool },
    Uuid,
    Integer { lookup: bool, range: bool },
}

/// The indexes of a collection by the names of their fields.
pub(crate) type Schema = BTreeMap<String, Index>;

/// What a condition needs an index for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    Text,
    Number,
    Range,
    Emptiness,
    Facet,
}

impl Index {
    /// Reads what index is asked for.
    pub(crate) fn read(request: &CreateFieldIndexCollection) -> Result<Self, Status> {
        let params = request.field_index_params.as_ref();
        let params = params.and_then(|params| params.index_params.as_ref());
        match (request.field_type(), params) {
            _ if request.field_type.is_none() => Err(invalid("Bad request: no field type")),
            (FieldType::Keyword, Some(IndexParams::KeywordIndexParams(params))) => {
                Ok(Self::Keyword {
                    is_tenant: params.is_tenant(),
                })
            }
            (FieldType::Keyword, None) => Ok(Self::Keyword { is_tenant: false }),
            (FieldType::Uuid, None) => Ok(Self::Uuid),
            (FieldType::Integer, Some(IndexParams::IntegerIndexParams(params))) => {
                let (lookup, range) = (params.lookup(), params.range());
                if lookup || range {
                    Ok(Self::Integer { lookup, range })
                } else {
                    Err(invalid(
                        "Validation error: the 'lookup' and 'range' capabilities can't be both disabled",
                    ))
                }
            }
            (FieldType::Integer, None) => Ok(Self::Integer {
                lookup: true,
                range: true,
            }),
            (_, None) => Err(unknown("this type of index")),
            (_, Some(_)) => Err(invalid("Bad request: params do not fit the field type")),
        }
    }

    /// As the engine makes it.
    pub(crate) fn engine(self) -> PayloadFieldSchema {
        PayloadFieldSchema::FieldParams(match self {
            Self::Keyword { is_tenant } => PayloadSchemaParams::Keyword(
                KeywordIndexParamsBuilder::new()
                    .is_tenant(is_tenant)
                    .build(),
            ),
            Self::Uuid => PayloadSchemaParams::Uuid(UuidIndexParamsBuilder::new().build()),
            Self::Integer { lookup, range } => PayloadSchemaParams::Integer(
                IntegerIndexParamsBuilder::new()
                    .lookup(lookup)
                    .range(range)
                    .build(),
            ),
        })
    }

    /// As a server describes it.
    pub(crate) fn describe(self) -> PayloadSchemaInfo {
        let (data_type, params) = match self {
            Self::Keyword { is_tenant } => {
                let params = KeywordIndexParams {
                    is_tenant: Some(is_tenant),
                    ..KeywordIndexParams::default()
                };
                (
                    PayloadSchemaType::Keyword,
                    Some(IndexParams::KeywordIndexParams(params)),
                )
            }
            Self::Uuid => (PayloadSchemaType::Uuid, None),
            Self::Integer { lookup, range } => {
                let params = IntegerIndexParams {
                    lookup: Some(lookup),
                    range: Some(range),
                    ..IntegerIndexParams::default()
                };
                (
                    PayloadSchemaType::Integer,
                    Some(IndexParams::IntegerIndexParams(params)),
                )
            }
        };
        PayloadSchemaInfo {
            data_type: data_type.into(),
            params: params.map(|params| PayloadIndexParams {
                index_params: Some(params),
            }),
            points: None,
        }
    }

    fn serves(self, asked: Use) -> bool {
        match (self, asked) {
            (Self::Keyword { .. } | Self::Uuid, Use::Text | Use::Emptiness | Use::Facet)
            | (Self::Integer { .. }, Use::Emptiness) => true,
            (Self::Integer { lookup, .. }, Use::Number | Use::Facet) => lookup,
            (Self::Integer { range, .. }, Use::Range) => range,
            (Self::Integer { .. }, Use::Text)
            | (Self::Keyword { .. } | Self::Uuid, Use::Number | Use::Range) => false,
        }
    }
}

/// Refuses what no index serves.
pub(crate) fn need(schema: &Schema, field: &str, asked: Use) -> Result<(), Status> {
    match schema.get(field) {
        Some(index) if index.serves(asked) => Ok(()),
        Some(_) | None => Err(invalid(format!(
            "Bad request: Index required but not found for \"{field}\" of one of the types that serve {asked:?}"
        ))),
    }
}
