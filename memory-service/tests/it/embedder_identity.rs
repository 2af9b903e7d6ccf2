//! A folder's vectors are of one embedder.

use memory_service::{MemoryService, config::Config};
use service_runtime::Service as _;

use crate::embedder::Embedder;

#[tokio::test]
async fn vectors_of_another_embedder_are_refused_by_both_names() {
    let embedder = Embedder::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = |change: &dyn Fn(&mut Config)| {
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: folder.path().into(),
            ..Config::default()
        };
        embedder.configure(&mut config);
        change(&mut config);
        config
    };
    let service = MemoryService::bind(config(&|_| {})).await.unwrap();
    service.serve(std::future::ready(())).await.unwrap();
    for (other, name) in [
        (config(&|config| config.embedder = "none".into()), "`none`"),
        (
            config(&|config| config.embedding_model = "other".into()),
            "`http:other`",
        ),
        (
            config(&|config| config.embedding_template = "{key} {text}".into()),
            "`{key} {text}`",
        ),
    ] {
        let error = MemoryService::bind(other).await.err().unwrap().to_string();
        assert!(
            error.contains("`http:double`") && error.contains(name),
            "{error}"
        );
    }
    let service = MemoryService::bind(config(&|_| {})).await.unwrap();
    service.serve(std::future::ready(())).await.unwrap();
}
