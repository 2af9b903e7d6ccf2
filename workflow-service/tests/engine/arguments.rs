//! Arguments that an entrypoint refuses by code of its own, which only those of the service can.

use weft_worker::{Context, Entrypoint, InvalidArgument, Worker};
use workflow_service::engine::StartError;

use crate::harness::{engine, request, tenant};

#[tokio::test]
async fn an_unknown_entrypoint_and_refused_arguments_record_nothing() {
    let checked = Entrypoint::new("checked", "1", |_: Context, _: u32| async move { Ok(()) })
        .check(|_, _| vec![InvalidArgument::new("input", "is never right")]);
    let (engine, _folder) = engine(Worker::new().entrypoint(checked)).await;
    let error = engine
        .start_run(&tenant(), request("nobody", "t", 0))
        .await
        .unwrap_err();
    assert!(
        matches!(error, StartError::NoSuchEntrypoint { .. }),
        "{error}"
    );
    let error = engine
        .start_run(&tenant(), request("checked", "t", 0))
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::InvalidArguments(_)), "{error}");
    let mut versioned = request("checked", "t", 0);
    versioned.version = Some("9".to_owned());
    let error = engine.start_run(&tenant(), versioned).await.unwrap_err();
    assert!(error.to_string().contains("checked@9"), "{error}");
    let runs = engine
        .store()
        .list_runs(&tenant(), Default::default(), None, 10)
        .await
        .unwrap();
    assert!(runs.is_empty());
    engine.stop().await;
}
