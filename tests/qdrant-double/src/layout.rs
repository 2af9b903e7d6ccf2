//! How a collection is made: its vectors, and what is only remembered.

use std::collections::{BTreeMap, BTreeSet};

use qdrant_client::qdrant::{
    CollectionParams, CreateCollection, Distance as WireDistance, Modifier as WireModifier,
    MultiVectorComparator as WireComparator, MultiVectorConfig as WireMulti,
    SparseVectorConfig as WireSparse, SparseVectorParams, VectorParams, VectorParamsMap,
    VectorsConfig, vectors_config::Config,
};
use qdrant_edge::{
    Distance, EdgeConfig, EdgeSparseVectorParams, EdgeVectorParams, Modifier,
    MultiVectorComparator, MultiVectorConfig,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::refusal::{invalid, unknown};

/// The vectors that points may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// Sparse ones, all with the IDF modifier.
    pub(crate) sparse: BTreeSet<String>,
    /// Multivectors compared by MaxSim and cosine, and their dimensions.
    pub(crate) multi: BTreeMap<String, usize>,
    /// As it was asked for; links are those of a vector in a graph, none of which is ever made.
    pub(crate) links: Option<u64>,
    shards: Option<u32>,
    replication_factor: Option<u32>,
    write_consistency_factor: Option<u32>,
}

impl Layout {
    /// Reads what collection is asked for.
    pub(crate) fn read(request: CreateCollection) -> Result<Self, Status> {
        let mut layout = Self {
            links: request.hnsw_config.and_then(|graphs| graphs.m),
            shards: request.shard_number,
            replication_factor: request.replication_factor,
            write_consistency_factor: request.write_consistency_factor,
            ..Self::default()
        };
        if [request.shard_number, request.replication_factor].contains(&Some(0)) {
            return Err(invalid("Validation error: must be 1 or larger"));
        }
        match request.vectors_config.and_then(|config| config.config) {
            Some(Config::ParamsMap(named)) => {
                for (name, params) in named.map {
                    if params.distance() != WireDistance::Cosine
                        || params.multivector_config.is_none()
                    {
                        return Err(unknown("this kind of vector"));
                    }
                    if params.size == 0 {
                        return Err(invalid("Validation error: size must be 1 or larger"));
                    }
                    layout
                        .multi
                        .insert(name, usize::try_from(params.size).unwrap_or(usize::MAX));
                }
            }
            Some(Config::Params(_)) => return Err(unknown("vectors without names")),
            None => {}
        }
        for (name, params) in request.sparse_vectors_config.unwrap_or_default().map {
            if params.modifier() != WireModifier::Idf {
                return Err(unknown("sparse vectors without IDF"));
            }
            layout.sparse.insert(name);
        }
        Ok(layout)
    }

    /// Whether there are vectors of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.multi.contains_key(name) || self.sparse.contains(name)
    }

    /// As the engine takes it.
    pub(crate) fn engine(&self) -> EdgeConfig {
        let mut config = EdgeConfig::builder();
        for (name, dims) in &self.multi {
            let params = EdgeVectorParams::builder(*dims, Distance::Cosine)
                .multivector_config(max_sim())
                .build();
            config = config.vector(name, params);
        }
        for name in &self.sparse {
            let params = EdgeSparseVectorParams::builder()
                .modifier(Modifier::Idf)
                .build();
            config = config.sparse_vector(name, params);
        }
        config.build()
    }

    /// As a server describes it.
    pub(crate) fn params(&self) -> CollectionParams {
        let multi = self.multi.iter().map(|(name, dims)| {
            let params = VectorParams {
                size: *dims as u64,
                distance: WireDistance::Cosine.into(),
                multivector_config: Some(WireMulti {
                    comparator: WireComparator::MaxSim.into(),
                }),
                ..VectorParams::default()
            };
            (name.clone(), params)
        });
        let sparse = self.sparse.iter().map(|name| {
            let params = SparseVectorParams {
                modifier: Some(WireModifier::Idf.into()),
                ..SparseVectorParams::default()
            };
            (name.clone(), params)
        });
        CollectionParams {
            shard_number: self.shards.unwrap_or(1),
            replication_factor: self.replication_factor,
            write_consistency_factor: self.write_consistency_factor,
            vectors_config: Some(VectorsConfig {
                config: Some(Config::ParamsMap(VectorParamsMap {
                    map: multi.collect(),
                })),
            }),
            sparse_vectors_config: Some(WireSparse {
                map: sparse.collect(),
            }),
            ..CollectionParams::default()
        }
    }
}

/// How multivectors are compared.
pub(crate) fn max_sim() -> MultiVectorConfig {
    MultiVectorConfig {
        comparator: MultiVectorComparator::MaxSim,
    }
}
