//! Near duplicates make room for others, if that is asked for.

use weft_proto::memory::v1::{self as pb, Ranking};

use super::{calls::Calls as _, ranked, remember, running};
use crate::{
    embedder::Embedder,
    support::{Running, query},
};

fn diverse(diversity: f64, request: pb::SearchItemsRequest) -> pb::SearchItemsRequest {
    pb::SearchItemsRequest {
        diversity,
        ..request
    }
}

#[tokio::test]
async fn near_duplicates_make_room_if_diversity_is_asked_for() {
    let embedder = Embedder::start().await;
    let mut running = running(&embedder).await;
    let client = &mut running.client;
    for (key, words) in [
        ("0", "deg0"),
        ("5", "deg5"),
        ("9", "deg9"),
        ("other", "deg320"),
    ] {
        remember(client, "a", key, words).await;
    }
    let semantic = || ranked(Ranking::Semantic, "", "deg0");
    assert_eq!(client.keys(semantic()).await, ["0", "5", "9", "other"]);
    assert_eq!(
        client.keys(diverse(0.6, semantic())).await,
        ["0", "other", "9", "5"]
    );
    // Scores stay what they are, and pages are parts of one list.
    let whole = client.hits(diverse(0.6, semantic())).await.unwrap();
    assert!((whole[1].score.unwrap() - 40_f64.to_radians().cos()).abs() < 1e-6);
    for offset in 0..4 {
        let page = pb::SearchItemsRequest {
            offset,
            limit: 1,
            ..diverse(0.6, semantic())
        };
        let index = usize::try_from(offset).unwrap();
        assert_eq!(client.hits(page).await.unwrap(), whole[index..=index]);
    }
}

#[tokio::test]
async fn words_alone_tell_near_duplicates_too() {
    let mut running = Running::start().await;
    let client = &mut running.client;
    for (key, words) in [
        ("1", "tea with milk"),
        ("2", "tea with milk"),
        ("3", "strong green tea leaves"),
    ] {
        remember(client, "a", key, words).await;
    }
    assert_eq!(client.keys(query("", "tea")).await, ["1", "2", "3"]);
    assert_eq!(
        client.keys(diverse(0.7, query("", "tea"))).await,
        ["1", "3", "2"]
    );
    // Without a query there is no relevance to weigh against.
    let unranked = client.keys(query("", "")).await;
    assert_eq!(client.keys(diverse(0.7, query("", ""))).await, unranked);
}
