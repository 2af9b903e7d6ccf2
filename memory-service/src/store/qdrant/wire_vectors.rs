//! The vectors of points, as the server takes and gives them.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    DenseVector, MultiDenseVector, NamedVectors, SparseVector, Vector, Vectors as WireVectors,
    VectorsOutput, vector, vector_output, vectors::VectorsOptions, vectors_output,
};

use super::indexes::names;
use crate::{lexical::WordVector, store::Vectors};

/// Makes the vectors of an item in one index.
pub(super) fn encode_vectors(made: &Vectors, number: u32) -> HashMap<String, Vector> {
    let [words_name, meanings_name] = names(number);
    let mut vectors = HashMap::new();
    if let Some(WordVector { words, weights }) = &made.words {
        let words = SparseVector {
            indices: words.clone(),
            values: weights.clone(),
        };
        vectors.insert(words_name, named(vector::Vector::Sparse(words)));
    }
    if !made.meanings.is_empty() {
        let meanings = named(vector::Vector::MultiDense(multi_dense(&made.meanings)));
        vectors.insert(meanings_name, meanings);
    }
    vectors
}

/// Reads the vectors of a point in one index back.
pub(super) fn decode_vectors(vectors: Option<VectorsOutput>, number: u32) -> Vectors {
    let mut decoded = Vectors::default();
    let options = vectors.and_then(|vectors| vectors.vectors_options);
    let Some(vectors_output::VectorsOptions::Vectors(named)) = options else {
        return decoded;
    };
    let names = names(number);
    let vectors = named.vectors.into_iter();
    for (_, vector) in vectors.filter(|(name, _)| names.contains(name)) {
        match vector.vector {
            Some(vector_output::Vector::Sparse(SparseVector { indices, values })) => {
                decoded.words = Some(WordVector {
                    words: indices,
                    weights: values,
                });
            }
            Some(vector_output::Vector::MultiDense(meanings)) => {
                let vectors = meanings.vectors.into_iter();
                decoded.meanings = vectors.map(|vector| vector.data).collect();
            }
            Some(vector_output::Vector::Dense(vector)) => decoded.meanings = vec![vector.data],
            None => {}
        }
    }
    decoded
}

/// Named vectors as the server takes them.
pub(super) fn wire_vectors(vectors: HashMap<String, Vector>) -> WireVectors {
    WireVectors {
        vectors_options: Some(VectorsOptions::Vectors(NamedVectors { vectors })),
    }
}

fn named(vector: vector::Vector) -> Vector {
    Vector {
        vector: Some(vector),
        ..Vector::default()
    }
}

/// Vectors as the server takes them.
pub(super) fn multi_dense(vectors: &[Vec<f32>]) -> MultiDenseVector {
    let vectors = vectors.iter();
    MultiDenseVector {
        vectors: vectors
            .map(|vector| DenseVector {
                data: vector.clone(),
            })
            .collect(),
    }
}
