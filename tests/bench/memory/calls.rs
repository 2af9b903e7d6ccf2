//! Calls as clients make them.

use futures::future::BoxFuture;
use tonic::transport::Channel;
use weft_proto::{
    common::v1::{Payload, PayloadForm, payload::Form},
    memory::v1::{self as pb, memory_service_client::MemoryServiceClient},
};

use crate::{Kind, Subject, USERS, document, user, words};

/// A client of something that serves so many items.
pub(crate) struct Calls {
    client: MemoryServiceClient<Channel>,
    items: usize,
}

/// A request of any kind, ready to be sent.
pub(crate) enum Request {
    Get(pb::GetItemRequest),
    Put(pb::PutItemRequest),
    Search(pb::SearchItemsRequest),
    Namespaces(pb::ListNamespacesRequest),
}

/// An answer of any kind.
#[derive(Clone)]
pub(crate) enum Answer {
    Got(pb::GetItemResponse),
    Put(pb::PutItemResponse),
    Found(pb::SearchItemsResponse),
    Listed(pb::ListNamespacesResponse),
}

impl Calls {
    pub(crate) async fn connect(address: String, items: usize) -> Self {
        let channel = Channel::from_shared(address).unwrap();
        let channel = channel.connect().await.unwrap();
        let client = MemoryServiceClient::new(channel);
        Self {
            client: client.max_decoding_message_size(64 << 20),
            items,
        }
    }

    pub(crate) fn client(&self) -> MemoryServiceClient<Channel> {
        self.client.clone()
    }

    pub(crate) fn items(&self) -> usize {
        self.items
    }

    pub(crate) fn put(&self, number: usize) -> pb::PutItemRequest {
        pb::PutItemRequest {
            namespace: vec!["bench".to_owned(), user(number, self.items)],
            key: format!("k{number}"),
            value: Some(text(document(number))),
            ..pb::PutItemRequest::default()
        }
    }

    fn request(&self, kind: Kind, number: usize) -> Request {
        let number = number % self.items;
        let everyone = vec!["bench".to_owned()];
        let user = vec!["bench".to_owned(), user(number, self.items)];
        let search = |namespace_prefix| pb::SearchItemsRequest {
            namespace_prefix,
            payload_form: PayloadForm::Text.into(),
            ..pb::SearchItemsRequest::default()
        };
        let ranked = |ranking: pb::Ranking, prefix| pb::SearchItemsRequest {
            query: words(number + 1),
            ranking: ranking.into(),
            ..search(prefix)
        };
        match kind {
            Kind::Get => Request::Get(pb::GetItemRequest {
                namespace: user,
                key: format!("k{number}"),
                payload_form: PayloadForm::Text.into(),
                ..pb::GetItemRequest::default()
            }),
            Kind::Put => Request::Put(self.put(number)),
            Kind::Lexical => Request::Search(ranked(pb::Ranking::Lexical, everyone)),
            Kind::Semantic => Request::Search(ranked(pb::Ranking::Semantic, everyone)),
            Kind::Hybrid => Request::Search(ranked(pb::Ranking::Hybrid, everyone)),
            Kind::HybridOfUser => Request::Search(ranked(pb::Ranking::Hybrid, user)),
            Kind::Filtered => Request::Search(pb::SearchItemsRequest {
                filter: Some(text(condition(number))),
                ..search(everyone)
            }),
            Kind::Namespace => Request::Search(search(user)),
            Kind::Namespaces => Request::Namespaces(pb::ListNamespacesRequest {
                limit: USERS as i32,
                ..pb::ListNamespacesRequest::default()
            }),
        }
    }

    pub(crate) async fn answer(&self, kind: Kind, number: usize) -> Answer {
        let mut client = self.client();
        match self.request(kind, number) {
            Request::Get(request) => {
                Answer::Got(client.get_item(request).await.unwrap().into_inner())
            }
            Request::Put(request) => {
                Answer::Put(client.put_item(request).await.unwrap().into_inner())
            }
            Request::Search(request) => {
                let found = client.search_items(request).await.unwrap().into_inner();
                assert!(!found.hits.is_empty());
                Answer::Found(found)
            }
            Request::Namespaces(request) => {
                let listed = client.list_namespaces(request).await.unwrap().into_inner();
                assert_eq!(listed.namespaces.len(), USERS.min(self.items));
                Answer::Listed(listed)
            }
        }
    }
}

/// The condition of [`Kind::Filtered`].
pub(crate) fn condition(number: usize) -> String {
    format!(r#"{{"kind":{}}}"#, number % 100)
}

fn text(json: String) -> Payload {
    Payload {
        form: Some(Form::JsonText(json)),
    }
}

impl Subject for Calls {
    fn call(&self, kind: Kind, number: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move { drop(self.answer(kind, number).await) })
    }
}
