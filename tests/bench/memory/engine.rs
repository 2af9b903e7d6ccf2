//! Plain calls of the engine, on the service's files.

use std::{collections::HashMap, path::Path};

use memory_service::{
    domain::{Filter as Condition, Json, filter::terms::Narrowing},
    lexical::{Bm25, WordVector},
};
use qdrant_edge::{
    AnyVariants, Condition as EngineCondition, Direction, EdgeShard, FacetRequestBuilder,
    FieldCondition, Filter, Fusion, IdfCorpusParams, IdfParams, JsonPath, Match, NamedQuery,
    OrderBy, OrderByInterface, PointId, PointInsertOperations, PointOperations,
    PointStructPersisted, PrefetchBuilder, QueryEnum, QueryRequestBuilder, Record,
    RetrieveRequestBuilder, ScoringQuery, ScrollRequestBuilder, SearchParams, SparseVector,
    TypedMultiDenseVector, UpdateOperation, ValueVariants, VectorInternal, VectorPersisted,
    VectorStructPersisted, WithPayloadInterface,
};

use crate::{Kind, USERS, calls::condition, service::Hashed, user, words};

/// Points that are made before they are written.
const READY: usize = 1_000;

/// How many are asked for.
pub(crate) const LIMIT: usize = 10;

/// The engine, without anything around it.
pub(crate) struct Engine {
    pub(crate) shard: EdgeShard,
    pub(crate) items: usize,
    pub(crate) embedder: Hashed,
    pub(crate) bm25: Bm25,
    /// Where the items are, by their numbers.
    pub(crate) ids: Vec<PointId>,
    /// Some points as they are.
    ready: Vec<PointStructPersisted>,
}

impl Engine {
    pub(crate) fn open(folder: &Path, dims: usize, items: usize) -> Self {
        let shard = EdgeShard::load(&folder.join("engine"), None).unwrap();
        let request = ScrollRequestBuilder::new()
            .limit(items)
            .with_payload(WithPayloadInterface::Bool(true));
        let (mut records, _) = shard.scroll(request.build()).unwrap();
        let number = |record: &Record| {
            let value = record.payload.as_ref().unwrap().0["value"].as_str();
            let value: serde_json::Value = serde_json::from_str(value.unwrap()).unwrap();
            value["n"].as_u64().unwrap()
        };
        records.sort_by_cached_key(number);
        let (embedder, bm25) = (Hashed(dims), Bm25::new().unwrap());
        let ids = records.iter().map(|record| record.id).collect();
        let ready = records.into_iter().take(READY).enumerate();
        let ready = ready.map(|(number, record)| PointStructPersisted {
            id: record.id,
            vector: vectors(&embedder, &bm25, &words(number)),
            payload: record.payload,
        });
        let ready = ready.collect();
        Self {
            shard,
            items,
            embedder,
            bm25,
            ids,
            ready,
        }
    }

    /// One plain call.
    pub(crate) fn call(&self, kind: Kind, number: usize) {
        let number = number % self.items;
        let everyone = || within(scope(&[]));
        let user = within(scope(&[user(number, self.items)]));
        let query = words(number + 1);
        match kind {
            Kind::Get => assert_eq!(self.load(vec![self.ids[number]]).len(), 1),
            Kind::Put => self.write(self.ready[number % self.ready.len()].clone()),
            Kind::Lexical => self.load_best(self.lexical(&query, everyone(), LIMIT)),
            Kind::Semantic => self.load_best(self.semantic(&query, everyone(), LIMIT)),
            Kind::Hybrid => self.load_best(self.both(&query, everyone())),
            Kind::HybridOfUser => self.load_best(self.both(&query, user)),
            Kind::Filtered => self.load_newest(narrowed(everyone(), number)),
            Kind::Namespace => self.load_newest(user),
            Kind::Namespaces => {
                let request = FacetRequestBuilder::new(field("scopes")).limit(2 * USERS);
                self.shard.facet(request.build()).unwrap();
            }
        }
    }

    pub(crate) fn load(&self, ids: Vec<PointId>) -> Vec<Record> {
        let request =
            RetrieveRequestBuilder::new(ids).with_payload(WithPayloadInterface::Bool(true));
        self.shard.retrieve(request.build()).unwrap()
    }

    fn load_best(&self, request: QueryRequestBuilder) {
        let request = request.with_payload(WithPayloadInterface::Bool(true));
        assert!(!self.shard.query(request.build()).unwrap().is_empty());
    }

    fn load_newest(&self, filter: Filter) {
        let request = newest(filter, LIMIT).with_payload(WithPayloadInterface::Bool(true));
        assert!(!self.shard.scroll(request.build()).unwrap().0.is_empty());
    }

    /// The best by words, which weigh by how rare they are in `scope`.
    pub(crate) fn lexical(&self, query: &str, scope: Filter, limit: usize) -> QueryRequestBuilder {
        let corpus = IdfCorpusParams {
            corpus: scope.clone(),
        };
        let params = SearchParams {
            idf: Some(IdfParams::Corpus(corpus)),
            ..SearchParams::default()
        };
        let request = QueryRequestBuilder::new(limit).query(self.words(query));
        request.params(params).filter(scope)
    }

    pub(crate) fn semantic(&self, query: &str, scope: Filter, limit: usize) -> QueryRequestBuilder {
        let request = QueryRequestBuilder::new(limit).query(self.meaning(query));
        request.filter(scope)
    }

    /// The best by the places in both lists, as the engine fuses them.
    fn both(&self, query: &str, scope: Filter) -> QueryRequestBuilder {
        let side = |query| {
            PrefetchBuilder::new(LIMIT)
                .query(query)
                .filter(scope.clone())
        };
        let fusion = Fusion::Rrf {
            k: 2,
            weights: None,
        };
        QueryRequestBuilder::new(LIMIT)
            .add_prefetch(side(self.words(query)).build())
            .add_prefetch(side(self.meaning(query)).build())
            .query(ScoringQuery::Fusion(fusion))
    }

    fn words(&self, query: &str) -> ScoringQuery {
        let WordVector { words, weights } = self.bm25.query(query).unwrap();
        let vector = VectorInternal::Sparse(SparseVector {
            indices: words,
            values: weights,
        });
        near(vector, "words")
    }

    fn meaning(&self, query: &str) -> ScoringQuery {
        let flattened_vectors = self.embedder.vector(query);
        let vector = VectorInternal::MultiDense(TypedMultiDenseVector {
            dim: flattened_vectors.len(),
            flattened_vectors,
        });
        near(vector, "meanings")
    }

    pub(crate) fn write(&self, point: PointStructPersisted) {
        let points = PointInsertOperations::PointsList(vec![point]);
        let upsert = PointOperations::UpsertPoints(points);
        let upsert = UpdateOperation::PointOperation(upsert);
        self.shard.update(upsert).unwrap();
    }
}

fn near(query: VectorInternal, using: &str) -> ScoringQuery {
    ScoringQuery::Vector(QueryEnum::Nearest(NamedQuery {
        query,
        using: Some(using.into()),
    }))
}

/// The newest that pass a filter.
pub(crate) fn newest(filter: Filter, limit: usize) -> ScrollRequestBuilder {
    let order = OrderBy {
        key: field("update_time"),
        direction: Some(Direction::Desc),
        start_from: None,
    };
    ScrollRequestBuilder::new()
        .limit(limit)
        .filter(filter)
        .order_by(OrderByInterface::Struct(order))
}

/// The vectors of a document with this text.
pub(crate) fn vectors(embedder: &Hashed, bm25: &Bm25, text: &str) -> VectorStructPersisted {
    let WordVector { words, weights } = bm25.document(&[text.to_owned()]).unwrap();
    let words = SparseVector {
        indices: words,
        values: weights,
    };
    VectorStructPersisted::Named(HashMap::from([
        ("words".to_owned(), VectorPersisted::Sparse(words)),
        (
            "meanings".to_owned(),
            VectorPersisted::MultiDense(vec![embedder.vector(text)]),
        ),
    ]))
}

pub(crate) fn field(name: &str) -> JsonPath {
    name.parse().unwrap()
}

/// What the items under these labels have in common.
pub(crate) fn scope(labels: &[String]) -> String {
    let labels = [&["default".to_owned(), "bench".to_owned()], labels].concat();
    labels.join(".")
}

pub(crate) fn within(scope: String) -> Filter {
    let value = Match::new_value(ValueVariants::String(scope));
    Filter::new_must(is("scopes", value))
}

fn is(name: &str, value: Match) -> EngineCondition {
    EngineCondition::Field(FieldCondition::new_match(field(name), value))
}

/// What passes the condition of [`Kind::Filtered`], too.
pub(crate) fn narrowed(mut filter: Filter, number: usize) -> Filter {
    let condition = Condition::parse(&Json::parse(&condition(number)).unwrap()).unwrap();
    for clause in Narrowing::of(&condition).clauses {
        let any = AnyVariants::Integers(clause.into_iter().collect());
        let all = filter.must.get_or_insert_default();
        all.push(is("terms", Match::new_any(any)));
    }
    filter
}
