//! Calls of the service's own code, without gRPC.

use std::sync::Arc;

use futures::future::BoxFuture;
use memory_service::{
    domain::{
        Document, Filter, Indexing, ItemId, Json, Key, LabelPattern, Namespace, NamespacePrefix,
        NamespaceQuery, Precondition,
    },
    memory::Memory,
    request::{Lifetime, PutRequest, Ranking, SearchRequest},
};
use service_runtime::Tenant;

use crate::{Kind, Subject, USERS, calls::condition, document, user, words};

/// The service's own code over so many items.
pub(crate) struct Own {
    pub(crate) memory: Arc<Memory>,
    pub(crate) items: usize,
}

fn search(labels: Vec<String>) -> SearchRequest {
    SearchRequest {
        prefix: NamespacePrefix::try_new("prefix", labels).unwrap(),
        words: None,
        ranking: Ranking::Best,
        filter: None,
        half_life: None,
        diversity: 0.0,
        min_score: None,
        offset: 0,
        limit: 10,
        refresh_ttl: None,
    }
}

impl Own {
    async fn find(&self, request: SearchRequest) {
        let found = self.memory.search(&Tenant::default(), request).await;
        assert!(!found.unwrap().is_empty());
    }

    async fn answer(&self, kind: Kind, number: usize) {
        let number = number % self.items;
        let tenant = Tenant::default();
        let everyone = vec!["bench".to_owned()];
        let user = vec!["bench".to_owned(), user(number, self.items)];
        let id = || ItemId {
            namespace: Namespace::try_new("namespace", user.clone()).unwrap(),
            key: Key::try_new("key", format!("k{number}")).unwrap(),
        };
        let ranked = |ranking, labels| SearchRequest {
            words: Some(words(number + 1)),
            ranking,
            ..search(labels)
        };
        match kind {
            Kind::Get => {
                let found = self.memory.get(&tenant, &id(), None).await;
                assert!(found.unwrap().is_some());
            }
            Kind::Put => {
                let request = PutRequest {
                    id: id(),
                    value: Document::stored(document(number)).unwrap(),
                    indexing: Indexing::Configured,
                    lifetime: Lifetime::Configured,
                    precondition: Precondition::None,
                };
                self.memory.put(&tenant, request).await.unwrap();
            }
            Kind::Lexical => self.find(ranked(Ranking::Lexical, everyone)).await,
            Kind::Semantic => self.find(ranked(Ranking::Semantic, everyone)).await,
            Kind::Hybrid => self.find(ranked(Ranking::Hybrid, everyone)).await,
            Kind::HybridOfUser => self.find(ranked(Ranking::Hybrid, user)).await,
            Kind::Filtered => {
                let filter = Filter::parse(&Json::parse(&condition(number)).unwrap());
                let request = SearchRequest {
                    filter: Some(filter.unwrap()),
                    ..search(everyone)
                };
                self.find(request).await;
            }
            Kind::Namespace => self.find(search(user)).await,
            Kind::Namespaces => {
                let query = NamespaceQuery {
                    prefix: LabelPattern::prefix("prefix", Vec::new()).unwrap(),
                    suffix: LabelPattern::suffix("suffix", Vec::new()).unwrap(),
                    max_depth: None,
                    offset: 0,
                    limit: USERS,
                };
                let listed = self.memory.namespaces(&tenant, query).await.unwrap();
                assert_eq!(listed.len(), USERS.min(self.items));
            }
        }
    }
}

impl Subject for Own {
    fn call(&self, kind: Kind, number: usize) -> BoxFuture<'_, ()> {
        Box::pin(self.answer(kind, number))
    }
}
