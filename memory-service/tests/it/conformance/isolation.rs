//! Row "isolation": nothing shows of other scopes.

use weft_proto::memory::v1 as pb;

use crate::support::{Calls as _, Running, put, query};

#[tokio::test]
async fn scores_know_only_the_words_of_the_searched_scope() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    client
        .put(put("mine", "1", r#"{"text":"apple cake"}"#))
        .await
        .unwrap();
    client
        .put(put("mine", "2", r#"{"text":"pear cake"}"#))
        .await
        .unwrap();
    let score = |hits: Vec<pb::SearchHit>| hits[0].score.unwrap();
    let before = score(client.hits(query("mine", "apple")).await.unwrap());
    for key in 0..50 {
        client
            .put(put("theirs", &key.to_string(), r#"{"text":"apple tree"}"#))
            .await
            .unwrap();
    }
    let after = score(client.hits(query("mine", "apple")).await.unwrap());
    assert_eq!(before.to_bits(), after.to_bits());
}
