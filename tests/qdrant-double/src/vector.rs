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
    layout::Layout,
    refusal::{invalid, unknown},
};

/// Reads the vectors of a point. None at all are refused; an empty map of them is fine.
pub(crate) fn read(vectors: Option<Vectors>) -> Result<VectorStructPersisted, Status> {
    let options = vectors.and_then(|vectors| vectors.vectors_options);
    let options = options.ok_or_else(|| invalid("Expected some vectors"))?;
    let VectorsOptions::Vectors(named) = options else {
        return Err(invalid("Wrong input: Not existing vector name error: "));
    };
    let mut read = HashMap::new();
    for (name, vector) in named.vectors {
        read.insert(name, read_one(vector)?);
    }
    Ok(VectorStructPersisted::Named(read))
}

fn read_one(vector: Vector) -> Result<VectorPersisted, Status> {
    match vector.vector {
        Some(vector::Vector::Sparse(sparse)) => Ok(VectorPersisted::Sparse(read_sparse(sparse)?)),
        Some(vector::Vector::MultiDense(multi)) => Ok(VectorPersisted::MultiDense(rows(multi)?)),
        Some(_) => Err(unknown("this kind of vector")),
        None => Err(unknown("the old way to write vectors")),
    }
}

fn read_sparse(sparse: WireSparse) -> Result<SparseVector, Status> {
    let WireSparse { values, indices } = sparse;
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

/// As many numbers as a multivector has fewer of.
const TOO_MANY_NUMBERS: usize = 1 << 20;

fn rows(multi: MultiDenseVector) -> Result<Vec<Vec<f32>>, Status> {
    if multi.vectors.is_empty() {
        return Err(invalid("Validation error: multivector must not be empty"));
    }
    let rows: Vec<_> = multi.vectors.into_iter().map(|row| row.data).collect();
    if rows.iter().any(Vec::is_empty) {
        return Err(invalid("Validation error: all vectors must be non-empty"));
    }
    let numbers = rows.iter().map(Vec::len).sum::<usize>();
    if numbers >= TOO_MANY_NUMBERS {
        return Err(invalid(format!(
            "Validation error: Total size of all vectors ({numbers}) must be less than {TOO_MANY_NUMBERS}"
        )));
    }
    if rows.iter().any(|row| row.len() != rows[0].len()) {
        let message = "Validation error: all vectors must have the same dimension";
        return Err(invalid(message));
    }
    Ok(rows)
}

/// Checks that there are such vectors in a collection.
pub(crate) fn check(vectors: &VectorStructPersisted, layout: &Layout) -> Result<(), Status> {
    let VectorStructPersisted::Named(vectors) = vectors else {
        return Err(no_vector(""));
    };
    for (name, vector) in vectors {
        match vector {
            VectorPersisted::Sparse(_) => check_sparse(name, layout)?,
            VectorPersisted::MultiDense(rows) => check_rows(name, rows, layout)?,
            VectorPersisted::Dense(_) => return Err(unknown("this kind of vector")),
        }
    }
    Ok(())
}

fn check_sparse(name: &str, layout: &Layout) -> Result<(), Status> {
    let known = layout.sparse.contains(name);
    known.then_some(()).ok_or_else(|| no_vector(name))
}

fn check_rows(name: &str, rows: &[Vec<f32>], layout: &Layout) -> Result<(), Status> {
    let dims = *layout.multi.get(name).ok_or_else(|| no_vector(name))?;
    match rows.iter().find(|row| row.len() != dims) {
        None => Ok(()),
        Some(row) => Err(invalid(format!(
            "Wrong input: Vector dimension error: expected dim: {dims}, got {}",
            row.len()
        ))),
    }
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
            check_sparse(name, layout)?;
            Ok(VectorInternal::Sparse(read_sparse(sparse)?))
        }
        Some(vector_input::Variant::MultiDense(multi)) => {
            let rows = rows(multi)?;
            check_rows(name, &rows, layout)?;
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
