//! The vectors of further indexes, made and removed while the collection is in use.

use qdrant_client::qdrant::{
    CollectionInfo, CreateVectorNameRequest, DeleteVectorNameRequest, DenseVectorCreationConfig,
    Distance, Modifier, SparseVectorCreationConfig, create_vector_name_request::VectorConfig,
    vectors_config::Config as Vectors,
};

use super::{
    collection::{dims, info, max_sim},
    connection::{Connection, done, strong},
    indexes::{Numbered, names},
};
use crate::store::StoreError;

/// Makes the vectors of an index that the collection does not have yet.
pub(super) async fn create(connection: &Connection, index: &Numbered) -> Result<(), StoreError> {
    let [words, meanings] = names(index.number);
    let sparse = SparseVectorCreationConfig {
        modifier: Some(Modifier::Idf.into()),
        ..SparseVectorCreationConfig::default()
    };
    let mut wanted = vec![(words, VectorConfig::SparseConfig(sparse))];
    if let Some(size) = dims(&index.index) {
        let dense = DenseVectorCreationConfig {
            size,
            distance: Distance::Cosine.into(),
            multivector_config: Some(max_sim()),
            ..DenseVectorCreationConfig::default()
        };
        wanted.push((meanings, VectorConfig::DenseConfig(dense)));
    }
    for (name, config) in wanted {
        if has(&info(connection).await?, &name) {
            continue;
        }
        let request = CreateVectorNameRequest {
            collection_name: connection.collection.clone(),
            wait: Some(true),
            vector_name: name.clone(),
            vector_config: Some(config),
            ordering: strong(),
            ..CreateVectorNameRequest::default()
        };
        let mut points = connection.points();
        match connection.answer(points.create_vector_name(request)).await {
            Ok(created) => done(&created.result)?,
            // Another replica may have been faster.
            Err(error) if !has(&info(connection).await?, &name) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Removes the vectors of an index that nobody uses any more.
pub(super) async fn delete(connection: &Connection, number: u32) -> Result<(), StoreError> {
    for name in names(number) {
        if !has(&info(connection).await?, &name) {
            continue;
        }
        let request = DeleteVectorNameRequest {
            collection_name: connection.collection.clone(),
            wait: Some(true),
            vector_name: name.clone(),
            ordering: strong(),
            ..DeleteVectorNameRequest::default()
        };
        let mut points = connection.points();
        match connection.answer(points.delete_vector_name(request)).await {
            Ok(deleted) => done(&deleted.result)?,
            // Another replica may have been faster.
            Err(error) if has(&info(connection).await?, &name) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}

fn has(info: &CollectionInfo, name: &str) -> bool {
    let params = info
        .config
        .as_ref()
        .and_then(|config| config.params.as_ref());
    let sparse = params.and_then(|params| params.sparse_vectors_config.as_ref());
    let dense = params.and_then(|params| params.vectors_config.as_ref());
    let is_dense = match dense.and_then(|dense| dense.config.as_ref()) {
        Some(Vectors::ParamsMap(dense)) => dense.map.contains_key(name),
        Some(Vectors::Params(_)) | None => false,
    };
    is_dense || sparse.is_some_and(|sparse| sparse.map.contains_key(name))
}
