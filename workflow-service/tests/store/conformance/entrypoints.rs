//! Entrypoints that workers have hosted.

use weft_worker::json;
use workflow_service::{domain::Timestamp, store::KnownEntrypoint};

use super::Store;

fn known(name: &str, version: &str, schema: Option<&str>) -> KnownEntrypoint {
    KnownEntrypoint {
        name: name.into(),
        version: version.into(),
        description: format!("What {name} does."),
        input_schema: schema.map(|schema| json::from_text(schema).unwrap()),
    }
}

pub(crate) async fn what_workers_hosted_is_known_as_they_described_it_last(store: Store) {
    let first = vec![
        known("a", "1", None),
        known("a", "2", Some("true")),
        known("b", "1", None),
    ];
    let remembered = store.remember_entrypoints(first, Timestamp::now());
    remembered.await.unwrap();
    let again = vec![
        known("a", "1", None),
        known("b", "1", Some(r#"{"type":"null"}"#)),
    ];
    let remembered = store.remember_entrypoints(again, Timestamp::now());
    remembered.await.unwrap();

    let all = store.known_entrypoints().await.unwrap();
    let all: Vec<_> = all
        .iter()
        .map(|one| {
            let schema = one.input_schema.as_ref().map(|schema| schema.get());
            (&*one.name, &*one.version, &*one.description, schema)
        })
        .collect();
    assert_eq!(
        all,
        [
            ("a", "1", "What a does.", None),
            ("a", "2", "What a does.", Some("true")),
            ("b", "1", "What b does.", Some(r#"{"type":"null"}"#)),
        ]
    );
}
