//! Puts that meet the moment at which their store moves on to another index: what they say of
//! themselves is true, also if the embedder of that index fails then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use memory_service::{
    batch::{self, Operation},
    domain::{
        Document, IndexIdentity, IndexPath, Indexing, Item, ItemId, NamespaceCount,
        NamespacePrefix, NamespaceQuery, Precondition, SystemClock, Time, Version,
    },
    embed::{EmbedError, Embedded, Embedder, Embedding, Template},
    failure::Failure,
    lexical::Bm25,
    memory::Memory,
    prepare::Indexer,
    reindex::reindex_until_settled,
    request::{Defaults, Lifetime, PutRequest},
    store::{
        Answer, PointId, Put, RankQuery, Ranked, Store, StoreError, Vectors, WalkQuery, WriteError,
        archive::{Record, Records},
        edge::{EdgeStore, Settings},
        index::{Index, Progress, Renewal, Stage},
        qdrant::QdrantStore,
    },
};
use service_runtime::Tenant;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{
    conformance::any_store::{id, tenant},
    qdrant_server::QdrantServer,
};

/// When writes go into the other index as well, as seen from the first put.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

/// A store that moves on right before or after it writes the first put. It writes one at a time.
struct Moving {
    store: Arc<dyn Store>,
    /// What moves it on: itself, or another replica.
    mover: Arc<dyn Store>,
    moment: Moment,
    writing: Mutex<()>,
}

impl Moving {
    async fn move_on(&self, moment: Moment) {
        if moment == self.moment && self.mover.stage() == Stage::Filling {
            assert_eq!(self.mover.advance().await, Ok(Stage::Closing));
        }
    }
}

impl Store for Moving {
    fn put<'a>(&'a self, tenant: &'a Tenant, put: Put) -> Answer<'a, Version, WriteError> {
        Box::pin(async move {
            let _writing = self.writing.lock().await;
            self.move_on(Moment::Before).await;
            let written = self.store.put(tenant, put).await;
            self.move_on(Moment::After).await;
            written
        })
    }

    fn get<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a ItemId,
        now: Time,
    ) -> Answer<'a, Option<Item>> {
        self.store.get(tenant, id, now)
    }

    fn delete<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: ItemId,
        precondition: Precondition,
        now: Time,
    ) -> Answer<'a, (), WriteError> {
        self.store.delete(tenant, id, precondition, now)
    }

    fn refresh<'a>(
        &'a self,
        tenant: &'a Tenant,
        ids: Vec<ItemId>,
        now: Time,
    ) -> Answer<'a, Vec<Option<Version>>> {
        self.store.refresh(tenant, ids, now)
    }

    fn rank<'a>(&'a self, tenant: &'a Tenant, query: RankQuery) -> Answer<'a, Vec<Ranked>> {
        self.store.rank(tenant, query)
    }

    fn fetch<'a>(
        &'a self,
        tenant: &'a Tenant,
        points: Vec<PointId>,
        now: Time,
    ) -> Answer<'a, Vec<Option<Item>>> {
        self.store.fetch(tenant, points, now)
    }

    fn vectors<'a>(
        &'a self,
        tenant: &'a Tenant,
        ids: Vec<ItemId>,
        index: Index,
    ) -> Answer<'a, Vec<Vectors>> {
        self.store.vectors(tenant, ids, index)
    }

    fn walk<'a>(&'a self, tenant: &'a Tenant, query: WalkQuery) -> Answer<'a, Vec<Item>> {
        self.store.walk(tenant, query)
    }

    fn count<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: &'a NamespacePrefix,
        now: Time,
    ) -> Answer<'a, u64> {
        self.store.count(tenant, prefix, now)
    }

    fn namespaces<'a>(
        &'a self,
        tenant: &'a Tenant,
        query: NamespaceQuery,
        now: Time,
    ) -> Answer<'a, Vec<NamespaceCount>> {
        self.store.namespaces(tenant, query, now)
    }

    fn delete_under<'a>(
        &'a self,
        tenant: &'a Tenant,
        prefix: NamespacePrefix,
        now: Time,
    ) -> Answer<'a, u64> {
        self.store.delete_under(tenant, prefix, now)
    }

    fn known_size(&self, tenant: &Tenant) -> Option<u64> {
        self.store.known_size(tenant)
    }

    fn secret(&self) -> &[u8] {
        self.store.secret()
    }

    fn probe(&self) -> Answer<'_, ()> {
        self.store.probe()
    }

    fn sweep(&self, now: Time) -> Answer<'_, u64> {
        self.store.sweep(now)
    }

    fn close(&self) -> Answer<'_, ()> {
        self.store.close()
    }
}

impl Renewal for Moving {
    fn stage(&self) -> Stage {
        self.store.stage()
    }

    fn look(&self) -> Answer<'_, Stage> {
        self.store.look()
    }

    fn progress(&self) -> Answer<'_, Progress> {
        self.store.progress()
    }

    fn unindexed(&self, from: Option<PointId>, limit: usize) -> Answer<'_, Records> {
        self.store.unindexed(from, limit)
    }

    fn index(&self, records: Vec<Record>) -> Answer<'_, ()> {
        self.store.index(records)
    }

    fn catches_up(&self) -> Answer<'_, bool> {
        self.store.catches_up()
    }

    fn advance(&self) -> Answer<'_, Stage> {
        self.store.advance()
    }
}

/// An embedder to which all texts mean the same, and which fails when told to.
struct Simple {
    name: &'static str,
    fails: AtomicBool,
}

impl Simple {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            fails: AtomicBool::new(false),
        })
    }
}

impl Embedder for Simple {
    fn id(&self) -> &str {
        self.name
    }

    fn dims(&self) -> usize {
        2
    }

    fn embed_documents<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        let vectors = if self.fails.load(Ordering::SeqCst) {
            Err(EmbedError::Refused("it was told to".to_owned()))
        } else {
            Ok(vec![vec![1.0, 0.0]; texts.len()])
        };
        Box::pin(std::future::ready(vectors))
    }

    fn embed_queries<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        self.embed_documents(texts)
    }
}

fn indexer(embedder: &Arc<Simple>) -> Indexer {
    Indexer {
        paths: vec![IndexPath::parse("text").unwrap()],
        embedding: Some(Embedding {
            embedder: embedder.clone(),
            template: Template::parse("{text}").unwrap(),
        }),
    }
}

fn request(key: &str) -> PutRequest {
    PutRequest {
        id: id("late", key),
        value: Document::stored(r#"{"text":"some words"}"#.to_owned()).unwrap(),
        indexing: Indexing::Configured,
        lifetime: Lifetime::Configured,
        precondition: Precondition::None,
    }
}

/// Memory whose store is at the beginning of its way, and what it is made of.
struct Scene {
    memory: Arc<Memory>,
    store: Arc<dyn Store>,
    /// The embedder of the index that comes.
    present: Arc<Simple>,
    _folder: TempDir,
    _server: QdrantServer,
}

impl Scene {
    async fn of(is_qdrant: bool, moment: Moment) -> Self {
        let (present, former) = (Simple::new("present"), Simple::new("former"));
        let (folder, server) = (tempfile::tempdir().unwrap(), QdrantServer::start());
        let settings = |present: IndexIdentity, former: Option<IndexIdentity>| Settings {
            embedder: present.embedder,
            index_paths: present.paths,
            former,
            ..Settings::default()
        };
        let identities = (indexer(&present).identity(), indexer(&former).identity());
        let open = async |present: IndexIdentity, former| {
            let opened: Arc<dyn Store> = if is_qdrant {
                let opened = QdrantStore::open_for(&server.settings(), present, former).await;
                Arc::new(opened.unwrap())
            } else {
                let opened = EdgeStore::open(folder.path(), settings(present, former)).await;
                Arc::new(opened.unwrap())
            };
            opened
        };
        open(identities.1.clone(), None)
            .await
            .close()
            .await
            .unwrap();
        let both = async || open(identities.0.clone(), Some(identities.1.clone())).await;
        let store = both().await;
        let mover = if is_qdrant {
            both().await
        } else {
            store.clone()
        };
        assert_eq!(store.stage(), Stage::Filling);
        let moving = Moving {
            store: store.clone(),
            mover,
            moment,
            writing: Mutex::default(),
        };
        let Indexer { paths, embedding } = indexer(&present);
        let defaults = Defaults {
            index_paths: paths,
            ..Defaults::default()
        };
        let bm25 = Bm25::new().unwrap();
        let memory = Memory::new(
            Arc::new(moving),
            Arc::new(SystemClock),
            bm25,
            embedding,
            defaults,
        );
        present.fails.store(true, Ordering::SeqCst);
        Self {
            memory: Arc::new(memory.with_former(Some(indexer(&former)))),
            store,
            present,
            _folder: folder,
            _server: server,
        }
    }

    async fn stored(&self, key: &str) -> bool {
        let found = self.memory.get(&tenant("t"), &id("late", key), None).await;
        found.unwrap().is_some()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_is_acknowledged_and_searches_move_on_with_it_only() {
    for is_qdrant in [false, true] {
        let scene = Scene::of(is_qdrant, Moment::After).await;
        let tenant = tenant("t");
        scene.memory.put(&tenant, request("k")).await.unwrap();
        assert!(scene.stored("k").await);
        // Not without it.
        assert_eq!(scene.store.advance().await, Ok(Stage::Closing));
        scene.present.fails.store(false, Ordering::SeqCst);
        reindex_until_settled(scene.memory.clone(), Duration::ZERO).await;
        let vectors = scene
            .store
            .vectors(&tenant, vec![id("late", "k")], Index::Present);
        assert_eq!(vectors.await.unwrap()[0].meanings, [[1.0, 0.0]]);
        scene.store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_afterwards_is_not_written_if_it_cannot_be_embedded() {
    for is_qdrant in [false, true] {
        let scene = Scene::of(is_qdrant, Moment::Before).await;
        let failed = scene.memory.put(&tenant("t"), request("k")).await;
        assert!(matches!(failed, Err(Failure::Embed(_))), "{failed:?}");
        assert!(!scene.stored("k").await);
        scene.store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_written_in_part_does_not_say_that_it_could_not_be_embedded() {
    for is_qdrant in [false, true] {
        let scene = Scene::of(is_qdrant, Moment::After).await;
        let operations = ["a", "b"].map(|key| Operation::Put(request(key)));
        let failed = batch::run(&scene.memory, &tenant("t"), operations.into()).await;
        assert!(
            matches!(failed, Err(Failure::Store(StoreError::Unavailable(_)))),
            "{failed:?}"
        );
        assert!(scene.stored("a").await ^ scene.stored("b").await);
        scene.store.close().await.unwrap();
    }
}
