//! Row "batch": validated whole, reads before writes, the last write of an item counts.

use tonic::Code;
use weft_proto::memory::v1::{
    self as pb, batch_operation::Operation, batch_result::Result as Answer,
};

use crate::{
    embedder::Embedder,
    support::{
        Calls as _, Client, Running, assert_status, delete, exists, get, labels, put, query,
        search, value, violations,
    },
};

fn batch(operations: Vec<Operation>) -> pb::BatchRequest {
    let operation = |operation| pb::BatchOperation {
        operation: Some(operation),
    };
    pb::BatchRequest {
        operations: operations.into_iter().map(operation).collect(),
    }
}

async fn run(client: &mut Client, operations: Vec<Operation>) -> Vec<Answer> {
    let response = client.batch(batch(operations)).await.unwrap().into_inner();
    response
        .results
        .into_iter()
        .map(|result| result.result.unwrap())
        .collect()
}

#[tokio::test]
async fn reads_see_the_state_before_the_batch_and_answers_keep_their_order() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    client
        .put(put("a", "old", r#"{"text":"pear"}"#))
        .await
        .unwrap();
    let answers = run(
        client,
        vec![
            Operation::Put(put("a", "new", r#"{"text":"pear"}"#)),
            Operation::Get(get("a", "new")),
            Operation::Delete(delete("a", "old")),
            Operation::Get(get("a", "old")),
            Operation::Search(query("a", "pears")),
            Operation::Search(search("")),
            Operation::ListNamespaces(pb::ListNamespacesRequest::default()),
        ],
    )
    .await;
    let [
        Answer::Put(put),
        Answer::Get(absent),
        Answer::Delete(_),
        Answer::Get(old),
        rest @ ..,
    ] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    let [
        Answer::Search(ranked),
        Answer::Search(newest),
        Answer::ListNamespaces(listed),
    ] = rest
    else {
        panic!("{rest:?}")
    };
    assert_eq!(put.item.as_ref().unwrap().key, "new");
    assert_eq!(absent.item, None);
    assert_eq!(value(old.item.as_ref().unwrap()), r#"{"text":"pear"}"#);
    let keys = |hits: &[pb::SearchHit]| -> Vec<String> {
        hits.iter()
            .map(|hit| hit.item.clone().unwrap().key)
            .collect()
    };
    assert_eq!(
        (keys(&ranked.hits), keys(&newest.hits)),
        (vec!["old".into()], vec!["old".into()])
    );
    assert!(ranked.hits[0].score.is_some() && newest.hits[0].score.is_none());
    assert_eq!(listed.namespaces[0].item_count, 1);
    assert_eq!(client.keys(search("")).await, ["new"]);
}

#[tokio::test]
async fn of_several_writes_to_an_item_the_last_one_counts() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let answers = run(
        client,
        vec![
            Operation::Put(put("a", "twice", r#"{"n":1}"#)),
            Operation::Put(put("a", "gone", "{}")),
            Operation::Delete(delete("a", "back")),
            Operation::Put(put("a", "twice", r#"{"n":2}"#)),
            Operation::Delete(delete("a", "gone")),
            Operation::Put(put("a", "back", "{}")),
        ],
    )
    .await;
    let [
        Answer::Put(first),
        Answer::Put(gone),
        Answer::Delete(_),
        Answer::Put(second),
        Answer::Delete(_),
        Answer::Put(back),
    ] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!(first, second);
    assert_eq!(gone.item, None);
    let twice = client.get(get("a", "twice")).await.unwrap();
    assert_eq!(
        (value(&twice), &twice.etag),
        (r#"{"n":2}"#, &second.item.as_ref().unwrap().etag)
    );
    assert_eq!(
        client.get(get("a", "back")).await.unwrap().etag,
        back.item.as_ref().unwrap().etag
    );
    assert!(client.get(get("a", "gone")).await.is_err());
}

#[tokio::test]
async fn a_batch_with_a_fault_does_nothing_and_names_every_fault() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let conditional = pb::PutItemRequest {
        precondition: exists(false),
        ..put("a", "k", "{}")
    };
    let mut request = batch(vec![
        Operation::Put(put("a", "fine", "{}")),
        Operation::Put(put("a", "", "[]")),
        Operation::Get(get("a..b", "k")),
        Operation::Search(pb::SearchItemsRequest {
            limit: -1,
            ..search("")
        }),
        Operation::Put(conditional),
        Operation::ListNamespaces(pb::ListNamespacesRequest {
            prefix: labels("langgraph"),
            ..Default::default()
        }),
    ]);
    request
        .operations
        .push(pb::BatchOperation { operation: None });
    let faults = violations(&client.batch(request).await.unwrap_err());
    let fields: Vec<_> = faults
        .iter()
        .map(|fault| fault.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "operations[1].put.key",
            "operations[1].put.value",
            "operations[2].get.namespace[1]",
            "operations[3].search.limit",
            "operations[4].put.precondition",
            "operations[5].list_namespaces.prefix[0]",
            "operations[6]",
        ],
    );
    assert!(client.keys(search("")).await.is_empty());
    let many = batch(vec![Operation::Get(get("a", "k")); 1001]);
    let faults = violations(&client.batch(many).await.unwrap_err());
    assert_eq!(faults, ["operations: must be at most 1000, not 1001"]);
}

#[tokio::test]
async fn a_thousand_operations_are_one_call() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let puts = (0..1000)
        .map(|n| Operation::Put(put("a", &n.to_string(), "{}")))
        .collect();
    assert_eq!(run(client, puts).await.len(), 1000);
    let count = pb::CountItemsRequest::default();
    assert_eq!(
        client.count_items(count).await.unwrap().into_inner().count,
        1000
    );
    assert!(run(client, vec![]).await.is_empty());
}

#[tokio::test]
async fn a_batch_whose_search_or_text_cannot_be_embedded_does_nothing() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    let by_meaning = pb::SearchItemsRequest {
        ranking: pb::Ranking::Semantic.into(),
        ..query("", "x")
    };
    let request = batch(vec![
        Operation::Put(put("a", "k", "{}")),
        Operation::Search(by_meaning),
    ]);
    let error = client.batch(request).await.unwrap_err();
    assert_status(&error, Code::FailedPrecondition, "EMBEDDER_MISSING");
    assert!(client.keys(search("")).await.is_empty());

    let embedder = Embedder::start().await;
    let mut running = Running::start_with(|config| {
        embedder.configure(config);
        config.index_paths = vec!["texts[*]".into()];
    })
    .await;
    let client = &mut running.client;
    let many: Vec<_> = (0..1001).map(|index| index.to_string()).collect();
    let many = put("a", "many", &format!(r#"{{"texts":[{}]}}"#, many.join(",")));
    let request = batch(vec![
        Operation::Get(get("a", "k")),
        Operation::Put(put("a", "k", "{}")),
        Operation::Put(many),
    ]);
    let faults = violations(&client.batch(request).await.unwrap_err());
    assert!(
        faults[0].starts_with("operations[2].put.value: "),
        "{faults:?}"
    );
    assert!(client.keys(search("")).await.is_empty());
}

#[tokio::test]
async fn of_many_faults_the_first_are_told() {
    let mut running = Running::start().await;
    let faulty = vec![Operation::Get(get("a..b", "")); 1000];
    let faults = violations(&running.client.batch(batch(faulty)).await.unwrap_err());
    assert_eq!(faults.len(), 20);
    assert_eq!(faults[1], "operations[0].get.key: must not be empty");
    assert_eq!(
        faults[2],
        "operations[1].get.namespace[1]: must not be empty"
    );
}
