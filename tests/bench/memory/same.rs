//! Calls of the engine by a program that wants the same answers: read, check and write as one step;
//! what has expired is left out; equal ranks are in order of names, so that pages do not overlap;
//! both sides of a hybrid search score whatever either finds. Writes are on the disk as soon as the
//! service's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use futures::future::BoxFuture;
use memory_service::{
    domain::{Filter as Condition, Json, filter::terms},
    store::edge::SYNC_INTERVAL,
};
use qdrant_edge::{
    Condition as EngineCondition, FacetRequestBuilder, FieldCondition, Filter, HasIdCondition,
    Payload, PayloadSelector, PayloadSelectorExclude, PointId, PointStructPersisted,
    QueryRequestBuilder, Range, Record, RetrieveRequestBuilder, WithPayloadInterface,
    external::ordered_float::OrderedFloat,
};
use serde_json::{Map, Value};
use tokio::{
    sync::oneshot,
    task::{JoinSet, spawn_blocking},
    time::interval,
};
use uuid::Uuid;

use crate::{
    Kind, Subject, USERS,
    calls::condition,
    document,
    engine::{Engine, LIMIT, field, narrowed, newest, scope, vectors, within},
    user, words,
};

/// Candidates beyond the page, to see the whole of its last group of equal rank.
const MARGIN: usize = 16;

/// How many candidates of each side a hybrid search looks at first: more where there are many items.
const WINDOW: usize = 4 * (LIMIT + MARGIN);
const LARGE_WINDOW: usize = 512;

/// The engine, and what a program has around it.
pub(crate) struct Same {
    inner: Arc<Inner>,
    stop: oneshot::Sender<()>,
    flushing: JoinSet<()>,
}

struct Inner {
    engine: Engine,
    /// Held from the look at what is there until it was replaced.
    writing: Mutex<()>,
}

impl Same {
    pub(crate) fn over(engine: Engine) -> Self {
        let inner = Arc::new(Inner {
            engine,
            writing: Mutex::default(),
        });
        let (stop, mut stopped) = oneshot::channel();
        let (own, mut flushing) = (inner.clone(), JoinSet::new());
        flushing.spawn(async move {
            let mut ticks = interval(SYNC_INTERVAL);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = &mut stopped => return,
                }
                let inner = own.clone();
                let flushed = spawn_blocking(move || inner.engine.shard.flush().unwrap());
                flushed.await.unwrap();
            }
        });
        Self {
            inner,
            stop,
            flushing,
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) async fn stop(mut self) {
        self.stop.send(()).unwrap();
        while self.flushing.join_next().await.is_some() {}
    }
}

impl Subject for Same {
    fn call(&self, kind: Kind, number: usize) -> BoxFuture<'_, ()> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let called = spawn_blocking(move || inner.call(kind, number)).await;
            called.unwrap();
        })
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

fn live(mut filter: Filter) -> Filter {
    let range = Range {
        lte: Some(OrderedFloat(now() as f64)),
        lt: None,
        gt: None,
        gte: None,
    };
    let expired = FieldCondition::new_range(field("expire_time"), range);
    filter.must_not = Some(vec![EngineCondition::Field(expired)]);
    filter
}

fn value(record: &Record) -> &str {
    let payload = record.payload.as_ref().unwrap();
    payload.0["value"].as_str().unwrap()
}

fn name(record: &Record) -> (&Value, &Value) {
    let payload = record.payload.as_ref().unwrap();
    (&payload.0["namespace"], &payload.0["key"])
}

impl Inner {
    fn call(&self, kind: Kind, number: usize) {
        let items = self.engine.items;
        let number = number % items;
        let everyone = || live(within(scope(&[])));
        let user = || live(within(scope(&[user(number, items)])));
        let query = words(number + 1);
        let window = LIMIT + MARGIN;
        match kind {
            Kind::Get => {
                let found = self.engine.load(vec![self.engine.ids[number]]);
                assert!(!value(&found[0]).is_empty());
            }
            Kind::Put => self.put(number),
            Kind::Lexical => {
                let request = self.engine.lexical(&query, everyone(), window);
                self.page(self.ranked(request));
            }
            Kind::Semantic => {
                let request = self.engine.semantic(&query, everyone(), window);
                self.page(self.ranked(request));
            }
            Kind::Hybrid => self.page(self.both(&query, everyone())),
            Kind::HybridOfUser => self.page(self.both(&query, user())),
            Kind::Filtered => {
                let condition = Json::parse(&condition(number)).unwrap();
                let condition = Condition::parse(&condition).unwrap();
                let found = self.newest(narrowed(everyone(), number));
                let fits =
                    |record: &Record| condition.matches(&Json::parse(value(record)).unwrap());
                assert!(found.iter().all(fits));
            }
            Kind::Namespace => drop(self.newest(user())),
            Kind::Namespaces => {
                let request = FacetRequestBuilder::new(field("scopes"))
                    .limit(2 * USERS)
                    .filter(everyone())
                    .exact(true);
                let mut hits = self.engine.shard.facet(request.build()).unwrap().hits;
                hits.sort_by_cached_key(|hit| format!("{:?}", hit.value));
                assert!(hits.len() > USERS.min(items));
            }
        }
    }

    fn ranked(&self, request: QueryRequestBuilder) -> Vec<(PointId, f32)> {
        let points = self.engine.shard.query(request.build()).unwrap();
        points.into_iter().map(|one| (one.id, one.score)).collect()
    }

    /// The items of the best, equal ranks in order of names.
    fn page(&self, ranked: Vec<(PointId, f32)>) {
        let ranks: HashMap<_, _> = ranked.iter().copied().collect();
        let ids = ranked.into_iter().take(LIMIT).map(|(id, _)| id).collect();
        let mut found = self.engine.load(ids);
        found.sort_by(|one, other| {
            let by_rank = ranks[&other.id].total_cmp(&ranks[&one.id]);
            let by_name = || format!("{:?}", name(one)).cmp(&format!("{:?}", name(other)));
            by_rank.then_with(by_name)
        });
        assert!(found.iter().all(|record| !value(record).is_empty()));
        assert!(!found.is_empty());
    }

    /// Both sides' candidates, each scored by both; more of them until none that was left out can be
    /// among the best.
    fn both(&self, query: &str, scope: Filter) -> Vec<(PointId, f32)> {
        let mut window = WINDOW.max(LARGE_WINDOW.min(self.engine.items / 200));
        loop {
            let (fused, others) = self.fused(query, &scope, window);
            let settled = fused.iter().take_while(|(_, score)| *score > others);
            if others == f32::NEG_INFINITY || settled.count() >= LIMIT {
                return fused;
            }
            window *= 4;
        }
    }

    /// The best of so many candidates of each side, and what others score at most.
    fn fused(&self, query: &str, scope: &Filter, window: usize) -> (Vec<(PointId, f32)>, f32) {
        let engine = &self.engine;
        let near = self.ranked(engine.semantic(query, scope.clone(), window));
        let worded = self.ranked(engine.lexical(query, scope.clone(), window));
        let last = |side: &[(PointId, f32)]| {
            let last = side.last().filter(|_| side.len() == window);
            last.map(|(_, score)| *score)
        };
        let (near_end, worded_end) = (last(&near), last(&worded));
        let mut near: HashMap<_, _> = near.into_iter().collect();
        let mut worded: HashMap<_, _> = worded.into_iter().collect();
        let missing = |of: &HashMap<PointId, f32>, there: &HashMap<PointId, f32>| {
            let missing = of.keys().filter(|id| !there.contains_key(id));
            missing.copied().collect::<Vec<_>>()
        };
        let among = |ids: Vec<PointId>| {
            let (mut filter, limit) = (scope.clone(), ids.len());
            let ids: HasIdCondition = ids.into_iter().collect();
            filter
                .must
                .get_or_insert_default()
                .push(EngineCondition::HasId(ids));
            (filter, limit)
        };
        if near_end.is_some() {
            let (filter, limit) = among(missing(&worded, &near));
            near.extend(self.ranked(engine.semantic(query, filter, limit.max(1))));
        }
        if worded_end.is_some() {
            let (filter, limit) = among(missing(&near, &worded));
            let request = engine.lexical(query, scope.clone(), limit.max(1));
            worded.extend(self.ranked(request.filter(filter)));
        }
        let by_meaning = |cosine: f32| 0.5 * cosine;
        let by_words = |score: f32| 0.5 * score / (score + 10.0);
        let mut fused: HashMap<PointId, f32> = HashMap::new();
        for (id, cosine) in near {
            *fused.entry(id).or_default() += by_meaning(cosine);
        }
        for (id, score) in worded {
            *fused.entry(id).or_default() += by_words(score);
        }
        let mut fused: Vec<_> = fused.into_iter().collect();
        fused.sort_by(|one, other| other.1.total_cmp(&one.1));
        let others = match (near_end, worded_end) {
            (None, None) => f32::NEG_INFINITY,
            (near, worded) => by_meaning(near.unwrap_or(0.0)) + by_words(worded.unwrap_or(0.0)),
        };
        (fused, others)
    }

    fn newest(&self, filter: Filter) -> Vec<Record> {
        let request = newest(filter, LIMIT + MARGIN);
        let request = request.with_payload(WithPayloadInterface::Bool(false));
        let (found, _) = self.engine.shard.scroll(request.build()).unwrap();
        let ids = found.into_iter().take(LIMIT).map(|record| record.id);
        let found = self.engine.load(ids.collect());
        assert!(!found.is_empty());
        found
    }

    /// Replaces an item by one with the same document.
    fn put(&self, number: usize) {
        let id = self.engine.ids[number];
        let document = document(number);
        let terms = terms::of_document(&Json::parse(&document).unwrap());
        let vector = vectors(&self.engine.embedder, &self.engine.bm25, &words(number));
        let labels = [user(number, self.engine.items)];
        let exclude = ["value", "terms", "scopes"].map(field).into();
        let head = PayloadSelector::Exclude(PayloadSelectorExclude { exclude });
        let head = RetrieveRequestBuilder::new(vec![id])
            .with_payload(WithPayloadInterface::Selector(head));

        let _writing = self.writing.lock().unwrap();
        let found = self.engine.shard.retrieve(head.build()).unwrap().remove(0);
        let before = found.payload.unwrap().0;
        let payload = [
            ("tenant", "default".into()),
            ("namespace", format!("bench.{}", labels[0]).into()),
            ("scopes", vec![scope(&[]), scope(&labels)].into()),
            ("key", format!("k{number}").into()),
            ("value", document.into()),
            ("terms", terms.into()),
            ("create_time", before["create_time"].clone()),
            ("update_time", now().into()),
            ("etag", Uuid::now_v7().to_string().into()),
        ];
        let payload: [(&str, Value); 9] = payload;
        let payload = payload.map(|(name, value)| (name.to_owned(), value));
        self.engine.write(PointStructPersisted {
            id,
            vector,
            payload: Some(Payload(Map::from_iter(payload))),
        });
    }
}
