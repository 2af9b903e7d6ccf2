//! Vectors between the wire and the engine.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    DenseVector, MultiDenseVector, NamedVectorsOutput, SparseVector as WireSparse, Vector,
    VectorInput, VectorOutput, Vectors, VectorsOutput, WithVectorsSelector, vector, vector_input,
    vector_output, vectors::VectorsOptions, vectors_output, with_vectors_selector::SelectorOptions,
};
use qdrant_edge::{
    SparseVector, TypedMultiDenseVector, VectorInternal, VectorPersisted, VectorStructInternal,
    VectorStructPersisted, WithVector,
};
use tonic::Status;

use crate::{
    collection::Layout,
    refusal::{invalid, unknown},
};

/// Reads the vectors of a point. None at all are refused; an empty map of them is fine.
pub(crate) fn read(
    vectors: Option<Vectors>,
    layout: &Layout,
) -> Result<VectorStructPersisted, Status> {
    let options = vectors.and_then(|vectors| vectors.vectors_options);
    let options = options.ok_or_else(|| invalid("Expected some vectors"))?;
    let VectorsOptions::Vectors(named) = options else {
        return Err(invalid("Wrong input: Not existing vector name error: "));
    };
    let mut read = HashMap::new();
    for (name, vector) in named.vectors {
        let vector = read_one(&name, vector, layout)?;
        read.insert(name, vector);
    }
    Ok(VectorStructPersisted::Named(read))
}

fn read_one(name: &str, vector: Vector, layout: &Layout) -> Result<VectorPersisted, Status> {
    match vector.vector {
        Some(vector::Vector::Sparse(sparse)) => {
            let sparse = read_sparse(name, sparse, layout)?;
            Ok(VectorPersisted::Sparse(sparse))
        }
        Some(vector::Vector::MultiDense(multi)) => {
            Ok(VectorPersisted::MultiDense(rows(name, multi, layout)?))
        }
        Some(_) => Err(unknown("this kind of vector")),
        None => Err(unknown("the old way to write vectors")),
    }
}

fn read_sparse(name: &str, sparse: WireSparse, layout: &Layout) -> Result<SparseVector, Status> {
    let WireSparse { values, indices } = sparse;
    if !layout.sparse.contains(name) {
        return Err(no_vector(name));
    }
    if values.len() != indices.len() {
        let message = "Validation error: must be the same length as indices";
        return Err(invalid(message));
    }
    let mut sorted = indices.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != indices.len() {
        return Err(invalid("Validation error: indices must be unique"));
    }
    Ok(SparseVector { indices, values })
}

fn rows(name: &str, multi: MultiDenseVector, layout: &Layout) -> Result<Vec<Vec<f32>>, Status> {
    let dims = *layout.multi.get(name).ok_or_else(|| no_vector(name))?;
    if multi.vectors.is_empty() {
        return Err(invalid("Validation error: multivector must not be empty"));
    }
    let rows = multi.vectors.into_iter().map(|row| row.data);
    let checked = rows.map(|row| {
        if row.len() == dims {
            Ok(row)
        } else {
            let found = row.len();
            Err(invalid(format!(
                "Wrong input: Vector dimension error: expected dim: {dims}, got {found}"
            )))
        }
    });
    checked.collect()
}

fn no_vector(name: &str) -> Status {
    invalid(format!(
        "Wrong input: Not existing vector name error: {name}"
    ))
}

/// Reads what is searched for.
pub(crate) fn read_query(
    name: &str,
    input: VectorInput,
    layout: &Layout,
) -> Result<VectorInternal, Status> {
    match input.variant {
        Some(vector_input::Variant::Sparse(sparse)) => {
            let sparse = read_sparse(name, sparse, layout)?;
            Ok(VectorInternal::Sparse(sparse))
        }
        Some(vector_input::Variant::MultiDense(multi)) => {
            let rows = rows(name, multi, layout)?;
            Ok(VectorInternal::MultiDense(TypedMultiDenseVector {
                dim: rows.first().map_or(0, Vec::len),
                flattened_vectors: rows.concat(),
            }))
        }
        Some(_) => Err(unknown("this kind of query vector")),
        None => Err(invalid("Bad request: no vector to search for")),
    }
}

/// Reads which vectors are wanted.
pub(crate) fn wanted(selector: Option<WithVectorsSelector>) -> WithVector {
    match selector.and_then(|selector| selector.selector_options) {
        None => WithVector::Bool(false),
        Some(SelectorOptions::Enable(enable)) => WithVector::Bool(enable),
        Some(SelectorOptions::Include(include)) => WithVector::Selector(include.names),
    }
}

/// Writes the vectors of a point.
pub(crate) fn write(vectors: Option<VectorStructInternal>) -> Option<VectorsOutput> {
    let VectorStructInternal::Named(vectors) = vectors? else {
        return None;
    };
    let vectors = vectors.into_iter();
    let vectors = vectors.map(|(name, vector)| (name, write_one(vector)));
    let named = NamedVectorsOutput {
        vectors: vectors.collect(),
    };
    Some(VectorsOutput {
        vectors_options: Some(vectors_output::VectorsOptions::Vectors(named)),
    })
}

fn write_one(vector: VectorInternal) -> VectorOutput {
    let vector = match vector {
        VectorInternal::Dense(data) => vector_output::Vector::Dense(DenseVector { data }),
        VectorInternal::Sparse(SparseVector { indices, values }) => {
            vector_output::Vector::Sparse(WireSparse { values, indices })
        }
        VectorInternal::MultiDense(multi) => {
            let rows = multi.flattened_vectors.chunks(multi.dim.max(1));
            vector_output::Vector::MultiDense(MultiDenseVector {
                vectors: rows.map(|row| DenseVector { data: row.to_vec() }).collect(),
            })
        }
    };
    VectorOutput {
        vector: Some(vector),
        ..VectorOutput::default()
    }
}
