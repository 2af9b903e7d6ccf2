//! One collection in a folder: the engine's files, and beside them what was asked for.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use anyhow::{Context as _, Result};
use qdrant_client::qdrant::{
    CollectionConfig, CollectionInfo, CollectionStatus, CreateVectorNameRequest,
    Distance as WireDistance, HnswConfigDiff, Modifier as WireModifier,
    create_vector_name_request::VectorConfig,
};
use qdrant_edge::{
    CreateIndex, CreateVectorName, DeleteVectorName, DenseVectorConfig, Distance, EdgeShard,
    FieldIndexOperations, Modifier, SparseVectorConfig, UpdateOperation, VectorNameConfig,
    VectorNameOperations,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::{
    layout::{Layout, max_sim},
    payload::path,
    refusal::{broken, engine, invalid, unknown},
    schema::{Index, Schema},
};

/// What is kept beside the engine's files.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Description {
    layout: Layout,
    schema: Schema,
}

/// One collection.
pub(crate) struct Collection {
    pub(crate) shard: EdgeShard,
    folder: PathBuf,
    layout: RwLock<Layout>,
    schema: RwLock<Schema>,
}

impl Collection {
    /// Makes a collection in a folder that is not there yet.
    pub(crate) fn create(folder: &Path, layout: Layout) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let description = Description {
            layout,
            schema: Schema::default(),
        };
        write(folder, &description)?;
        Self::load(folder)
    }

    /// Opens the collection in a folder.
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let text = fs::read(folder.join("collection.json"))?;
        let Description { layout, schema } = serde_json::from_slice(&text)?;
        let files = folder.join("engine");
        fs::create_dir_all(&files)?;
        let shard = EdgeShard::load(&files, Some(layout.engine()));
        let shard = shard.with_context(|| format!("cannot open `{}`", folder.display()))?;
        Ok(Self {
            shard,
            folder: folder.to_owned(),
            layout: RwLock::new(layout),
            schema: RwLock::new(schema),
        })
    }

    /// Its indexes.
    pub(crate) fn schema(&self) -> Schema {
        let schema = self.schema.read().unwrap_or_else(PoisonError::into_inner);
        schema.clone()
    }

    /// Makes an index; the same one again changes nothing.
    pub(crate) fn create_index(&self, field: &str, index: Index) -> Result<(), Status> {
        let layout = self.layout();
        let mut schema = self.schema.write().unwrap_or_else(PoisonError::into_inner);
        if schema.get(field) == Some(&index) {
            return Ok(());
        }
        let create = FieldIndexOperations::CreateIndex(CreateIndex {
            field_name: path(field)?,
            field_schema: Some(index.engine()),
        });
        let operation = UpdateOperation::FieldIndexOperation(create);
        self.shard.update(operation).map_err(engine)?;
        schema.insert(field.to_owned(), index);
        self.describe_as(layout, schema.clone())
    }

    /// Drops an index, if it is there.
    pub(crate) fn delete_index(&self, field: &str) -> Result<(), Status> {
        let layout = self.layout();
        let mut schema = self.schema.write().unwrap_or_else(PoisonError::into_inner);
        let delete = FieldIndexOperations::DeleteIndex(path(field)?);
        let operation = UpdateOperation::FieldIndexOperation(delete);
        self.shard.update(operation).map_err(engine)?;
        schema.remove(field);
        self.describe_as(layout, schema.clone())
    }

    /// The vectors that points may have.
    pub(crate) fn layout(&self) -> Layout {
        let layout = self.layout.read().unwrap_or_else(PoisonError::into_inner);
        layout.clone()
    }

    /// Lets points have further vectors; the same ones again change nothing.
    pub(crate) fn create_vectors(&self, request: CreateVectorNameRequest) -> Result<(), Status> {
        let name = request.vector_name;
        let mut layout = self.layout.write().unwrap_or_else(PoisonError::into_inner);
        let before = layout.clone();
        let config = match request.vector_config {
            Some(VectorConfig::DenseConfig(dense)) => {
                let is_known = dense.distance() == WireDistance::Cosine
                    && dense.multivector_config.is_some()
                    && dense.datatype.is_none();
                if !is_known {
                    return Err(unknown("this kind of vector"));
                }
                let size = usize::try_from(dense.size).unwrap_or(usize::MAX);
                if size == 0 {
                    return Err(invalid("Validation error: size must be 1 or larger"));
                }
                layout.multi.insert(name.clone(), size);
                VectorNameConfig::dense(DenseVectorConfig {
                    size,
                    distance: Distance::Cosine,
                    multivector_config: Some(max_sim()),
                    datatype: None,
                })
            }
            Some(VectorConfig::SparseConfig(sparse)) => {
                if sparse.modifier() != WireModifier::Idf || sparse.datatype.is_some() {
                    return Err(unknown("sparse vectors without IDF"));
                }
                layout.sparse.insert(name.clone());
                VectorNameConfig::sparse(SparseVectorConfig {
                    modifier: Some(Modifier::Idf),
                    datatype: None,
                })
            }
            None => return Err(invalid("Bad request: no vector config")),
        };
        if before.has(&name) {
            let is_same = *layout == before;
            *layout = before;
            let other = format!(
                "Wrong input: Vector `{name}` already exists with a different configuration"
            );
            return is_same.then_some(()).ok_or_else(|| invalid(other));
        }
        let create = VectorNameOperations::CreateVectorName(CreateVectorName {
            vector_name: name,
            config,
        });
        let operation = UpdateOperation::VectorNameOperation(create);
        self.shard.update(operation).map_err(engine)?;
        self.describe_as(layout.clone(), self.schema())
    }

    /// Takes vectors away from all points, if there are any of that name.
    pub(crate) fn delete_vectors(&self, name: &str) -> Result<(), Status> {
        let mut layout = self.layout.write().unwrap_or_else(PoisonError::into_inner);
        if !layout.has(name) {
            return Ok(());
        }
        layout.multi.remove(name);
        layout.sparse.remove(name);
        let delete = VectorNameOperations::DeleteVectorName(DeleteVectorName {
            vector_name: name.to_owned(),
        });
        let operation = UpdateOperation::VectorNameOperation(delete);
        self.shard.update(operation).map_err(engine)?;
        self.describe_as(layout.clone(), self.schema())
    }

    fn describe_as(&self, layout: Layout, schema: Schema) -> Result<(), Status> {
        let description = Description { layout, schema };
        write(&self.folder, &description).map_err(broken)
    }

    /// As a server describes it.
    pub(crate) fn describe(&self) -> CollectionInfo {
        let layout = self.layout();
        let schema = self.schema().into_iter();
        CollectionInfo {
            status: CollectionStatus::Green.into(),
            config: Some(CollectionConfig {
                params: Some(layout.params()),
                hnsw_config: Some(HnswConfigDiff {
                    m: layout.links.or(Some(16)),
                    ..HnswConfigDiff::default()
                }),
                ..CollectionConfig::default()
            }),
            payload_schema: schema
                .map(|(field, index)| (field, index.describe()))
                .collect(),
            ..CollectionInfo::default()
        }
    }
}

/// Writes the description by renaming: a kill leaves a whole one.
fn write(folder: &Path, description: &Description) -> Result<()> {
    let draft = folder.join("collection.json.new");
    let mut file = File::create(&draft)?;
    file.write_all(&serde_json::to_vec(description)?)?;
    fs::rename(draft, folder.join("collection.json"))?;
    Ok(())
}
