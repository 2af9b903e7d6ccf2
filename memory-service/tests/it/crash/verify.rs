//! Whether what is stored is what was acknowledged, whatever it is asked for by.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use weft_proto::{
    common::v1::PayloadForm,
    memory::v1::{self as pb, Ranking},
};

use super::{
    Random,
    load::{Log, WRITERS},
    service::Service,
    within,
};
use crate::{
    commands::succeed,
    embedder::Embedder,
    support::{Calls as _, Client, labels, query, text, value},
};

/// Items that are searched by their own words after each kill.
const SEARCHED: u64 = 4;

/// Everything that is stored: namespace and key, and the value.
type Stored = BTreeMap<(String, String), String>;

/// What is stored is what was acknowledged, or attempted after that, and everything about it is
/// there: what finds it by words, by meaning and by filters, and what counts it.
pub(super) async fn all(service: &Service, log: &Log, random: &mut Random) {
    let looks = async {
        let client = &mut service.client.clone();
        let stored = look(client, log).await;
        for _ in 0..SEARCHED.min(stored.len() as u64) {
            let one = random.below(stored.len() as u64);
            let (_, document) = stored.iter().nth(one.try_into().unwrap()).unwrap();
            find_by_its_words(client, &stored, own_word(document)).await;
        }
    };
    within("the answers of a process that was started", looks).await;
}

async fn look(client: &mut Client, log: &Log) -> Stored {
    let stored = stored(client).await;
    compare(&stored, log);
    for (words, ranking) in [
        ("load", Ranking::Lexical),
        ("car", Ranking::Semantic),
        ("load car", Ranking::Hybrid),
    ] {
        let found = found(client, words, ranking).await;
        let found: BTreeSet<_> = found.into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, stored.keys().cloned().collect(), "{ranking:?}");
    }
    for writer in 0..=WRITERS {
        let own = format!("\"writer\":{writer},");
        let expected = stored.values().filter(|value| value.contains(&own)).count();
        let request = pb::CountItemsRequest {
            namespace_prefix: labels("crash"),
            filter: Some(text(&format!("{{{own}\"step\":{{\"$gte\":0}}}}"))),
        };
        let counted = client.count_items(request).await.unwrap().into_inner();
        assert_eq!(counted.count, expected as i64);
    }
    let mut expected = BTreeMap::new();
    for (namespace, _) in stored.keys() {
        *expected.entry(namespace).or_insert(0) += 1;
    }
    let expected = expected.iter();
    let expected: Vec<_> = expected
        .map(|(namespace, count)| format!("{namespace}={count}"))
        .collect();
    let listed = client.listed(pb::ListNamespacesRequest::default()).await;
    assert_eq!(listed, expected);
    stored
}

async fn stored(client: &mut Client) -> Stored {
    let request = pb::ListItemsRequest {
        page_size: 1000,
        payload_form: PayloadForm::Text.into(),
        ..Default::default()
    };
    let listed = client.list_items(request).await.unwrap().into_inner();
    let items = listed.items.iter();
    items
        .map(|item| (name_of(item), value(item).to_owned()))
        .collect()
}

fn name_of(item: &pb::Item) -> (String, String) {
    (item.namespace.join("."), item.key.clone())
}

/// From now on, what is stored is what counts as acknowledged.
fn compare(stored: &Stored, log: &Log) {
    let mut log = log.lock().unwrap();
    let mut found: BTreeMap<_, _> = stored.iter().collect();
    for ((namespace, key), known) in log.iter_mut() {
        let found = found
            .remove(&((*namespace).to_owned(), key.clone()))
            .cloned();
        assert!(
            found == known.acknowledged || found == known.attempted,
            "{key} in {namespace}: {found:?}, but {known:?}",
        );
        (known.acknowledged, known.attempted) = (found.clone(), found);
    }
    assert!(found.is_empty(), "nobody wrote {found:?}");
}

/// All that a search finds, and how well it fits.
async fn found(
    client: &mut Client,
    words: &str,
    ranking: Ranking,
) -> Vec<((String, String), String)> {
    let request = pb::SearchItemsRequest {
        limit: 1000,
        ranking: ranking.into(),
        ..query("crash", words)
    };
    let hits = client.hits(request).await.unwrap().into_iter();
    hits.map(|hit| (name_of(&hit.item.unwrap()), format!("{:?}", hit.score)))
        .collect()
}

/// The last word of a document is in no other one but those that were put with it.
fn own_word(document: &str) -> &str {
    let words = document.trim_end_matches(['"', '}']);
    words.rsplit(' ').next().unwrap()
}

async fn find_by_its_words(client: &mut Client, stored: &Stored, word: &str) {
    let expected = stored.iter().filter(|(_, other)| own_word(other) == word);
    let expected: BTreeSet<_> = expected.map(|(name, _)| name.clone()).collect();
    let found = found(client, word, Ranking::Lexical).await;
    let found: BTreeSet<_> = found.into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, expected, "{word}");
}

/// What a kill left is sound before anything is done with it, and as good as if it had been written
/// into an empty folder.
pub(super) async fn after_the_last_kill(folder: &Path, log: &Log, embedder: &Embedder) {
    let run = async |folder: &Path, command: &[&str]| {
        let what = format!("`{}`", command.join(" "));
        within(&what, succeed(folder, Some(embedder), command)).await;
    };
    run(folder, &["check"]).await;
    run(folder, &["reindex"]).await;
    run(folder, &["check"]).await;
    let fresh = tempfile::tempdir().unwrap();
    let file = fresh.path().join("all.jsonl");
    let file = file.to_str().unwrap();
    run(folder, &["export", file]).await;
    run(fresh.path(), &["import", file]).await;
    let served = within("all of it to be searched", served(folder, log, embedder));
    let anew = within(
        "it to be searched anew",
        self::served(fresh.path(), log, embedder),
    );
    let (served, anew) = (served.await, anew.await);
    assert!(
        !served.is_empty() && served == anew,
        "{served:#?} {anew:#?}"
    );
}

/// What a service finds, and how well it fits.
async fn served(folder: &Path, log: &Log, embedder: &Embedder) -> Vec<(String, String)> {
    let service = Service::start(folder, &embedder.flags("")).await;
    let client = &mut service.client.clone();
    let stored = look(client, log).await;
    let words: BTreeSet<_> = stored.values().map(|value| own_word(value)).collect();
    let mut seen = Vec::new();
    for word in words {
        find_by_its_words(client, &stored, word).await;
        for ranking in [Ranking::Lexical, Ranking::Semantic, Ranking::Hybrid] {
            let found = found(client, &format!("load {word}"), ranking).await;
            let found = found.into_iter();
            seen.extend(found.map(|((_, key), score)| (format!("{word} {key}"), score)));
        }
    }
    service.stop().await;
    seen
}
