//! The engine, called as the service calls it, on the same files.

use std::{collections::HashMap, path::Path, sync::Arc};

use futures::future::BoxFuture;
use memory_service::{
    domain::{Filter as Condition, Json, filter::terms::Narrowing},
    lexical::{Bm25, WordVector},
};
use qdrant_edge::{
    AnyVariants, Direction, EdgeShard, FacetRequestBuilder, FieldCondition, Filter,
    IdfCorpusParams, IdfParams, JsonPath, Match, NamedQuery, OrderBy, OrderByInterface, PointId,
    PointInsertOperations, PointOperations, PointStructPersisted, QueryEnum, QueryRequestBuilder,
    RetrieveRequestBuilder, ScoringQuery, ScrollRequestBuilder, SearchParams, SparseVector,
    TypedMultiDenseVector, UpdateOperation, ValueVariants, VectorInternal, VectorPersisted,
    VectorStructPersisted, WithPayloadInterface,
};
use tokio::task::spawn_blocking;

use crate::{Kind, Subject, USERS, service::Hashed, user, words};

const TENANT: &str = "default";

/// The engine, without anything around it.
pub(crate) struct Engine(Arc<Inner>);

struct Inner {
    shard: EdgeShard,
    items: usize,
    embedder: Hashed,
    bm25: Bm25,
    /// What points look like; the parts that differ are made for each.
    ids: Vec<PointId>,
}

impl Engine {
    pub(crate) fn open(folder: &Path, dims: usize, items: usize) -> Self {
        let shard = EdgeShard::load(&folder.join("engine"), None).unwrap();
        let request = ScrollRequestBuilder::new()
            .limit(items)
            .with_payload(WithPayloadInterface::Bool(false));
        let (records, _) = shard.scroll(request.build()).unwrap();
        Self(Arc::new(Inner {
            shard,
            items,
            embedder: Hashed(dims),
            bm25: Bm25::new().unwrap(),
            ids: records.into_iter().map(|record| record.id).collect(),
        }))
    }
}

impl Subject for Engine {
    fn call(&self, kind: Kind, number: usize) -> BoxFuture<'_, ()> {
        let inner = self.0.clone();
        let number = number % inner.items;
        Box::pin(async move {
            let called = spawn_blocking(move || inner.call(kind, number)).await;
            called.unwrap();
        })
    }
}

fn field(name: &str) -> JsonPath {
    name.parse().unwrap()
}

fn within(scope: String) -> Filter {
    let value = Match::new_value(ValueVariants::String(scope));
    Filter::new_must(qdrant_edge::Condition::Field(FieldCondition::new_match(
        field("scopes"),
        value,
    )))
}

impl Inner {
    fn call(&self, kind: Kind, number: usize) {
        let everyone = || within(format!("{TENANT}.bench"));
        let user = within(format!("{TENANT}.bench.{}", user(number, self.items)));
        let query = words(number + 1);
        match kind {
            Kind::Get => drop(self.load(vec![self.ids[number]])),
            Kind::Put => self.put(number),
            Kind::Lexical => self.load_all(self.lexical(&query, everyone())),
            Kind::Semantic => self.load_all(self.semantic(&query, everyone())),
            Kind::Hybrid => {
                self.lexical(&query, everyone());
                self.load_all(self.semantic(&query, everyone()));
            }
            Kind::HybridOfUser => {
                self.lexical(&query, user.clone());
                self.load_all(self.semantic(&query, user));
            }
            Kind::Filtered => {
                let condition = format!(r#"{{"kind":{}}}"#, number % 100);
                let condition = Condition::parse(&Json::parse(&condition).unwrap()).unwrap();
                let mut filter = everyone();
                for clause in Narrowing::of(&condition).clauses {
                    let any = AnyVariants::Integers(clause.into_iter().collect());
                    let condition = FieldCondition::new_match(field("terms"), Match::new_any(any));
                    let all = filter.must.get_or_insert_default();
                    all.push(qdrant_edge::Condition::Field(condition));
                }
                self.newest(filter);
            }
            Kind::Namespace => self.newest(user),
            Kind::Namespaces => {
                let request = FacetRequestBuilder::new(field("scopes")).limit(2 * USERS);
                self.shard.facet(request.build()).unwrap();
            }
        }
    }

    fn load(&self, ids: Vec<PointId>) -> usize {
        let request =
            RetrieveRequestBuilder::new(ids).with_payload(WithPayloadInterface::Bool(true));
        self.shard.retrieve(request.build()).unwrap().len()
    }

    fn load_all(&self, ids: Vec<PointId>) {
        assert!(self.load(ids) > 0);
    }

    fn newest(&self, filter: Filter) {
        let order = OrderBy {
            key: field("update_time"),
            direction: Some(Direction::Desc),
            start_from: None,
        };
        let request = ScrollRequestBuilder::new()
            .limit(10)
            .filter(filter)
            .with_payload(WithPayloadInterface::Bool(true))
            .order_by(OrderByInterface::Struct(order));
        assert!(!self.shard.scroll(request.build()).unwrap().0.is_empty());
    }

    fn ranked(&self, request: QueryRequestBuilder) -> Vec<PointId> {
        let points = self.shard.query(request.build()).unwrap();
        points.into_iter().map(|point| point.id).collect()
    }

    fn lexical(&self, query: &str, scope: Filter) -> Vec<PointId> {
        let WordVector { words, weights } = self.bm25.query(query).unwrap();
        let nearest = QueryEnum::Nearest(NamedQuery {
            query: VectorInternal::Sparse(SparseVector {
                indices: words,
                values: weights,
            }),
            using: Some("words".into()),
        });
        let corpus = IdfCorpusParams {
            corpus: scope.clone(),
        };
        let params = SearchParams {
            idf: Some(IdfParams::Corpus(corpus)),
            ..SearchParams::default()
        };
        let request = QueryRequestBuilder::new(10).query(ScoringQuery::Vector(nearest));
        self.ranked(request.params(params).filter(scope))
    }

    fn semantic(&self, query: &str, scope: Filter) -> Vec<PointId> {
        let flattened_vectors = self.embedder.vector(query);
        let nearest = QueryEnum::Nearest(NamedQuery {
            query: VectorInternal::MultiDense(TypedMultiDenseVector {
                dim: flattened_vectors.len(),
                flattened_vectors,
            }),
            using: Some("meanings".into()),
        });
        let request = QueryRequestBuilder::new(10).query(ScoringQuery::Vector(nearest));
        self.ranked(request.filter(scope))
    }

    /// Writes a point anew as it is.
    fn put(&self, number: usize) {
        let id = self.ids[number];
        let request =
            RetrieveRequestBuilder::new(vec![id]).with_payload(WithPayloadInterface::Bool(true));
        let found = self.shard.retrieve(request.build()).unwrap().remove(0);
        let text = words(number);
        let WordVector { words, weights } =
            self.bm25.document(std::slice::from_ref(&text)).unwrap();
        let words = SparseVector {
            indices: words,
            values: weights,
        };
        let meanings = VectorPersisted::MultiDense(vec![self.embedder.vector(&text)]);
        let vectors = HashMap::from([
            ("words".to_owned(), VectorPersisted::Sparse(words)),
            ("meanings".to_owned(), meanings),
        ]);
        let point = PointStructPersisted {
            id,
            vector: VectorStructPersisted::Named(vectors),
            payload: found.payload,
        };
        let points = PointInsertOperations::PointsList(vec![point]);
        let upsert = PointOperations::UpsertPoints(points);
        self.shard
            .update(UpdateOperation::PointOperation(upsert))
            .unwrap();
    }
}
