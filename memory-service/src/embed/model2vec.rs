//! Static models: a vector for each token, averaged over a text. Thousands of texts a second.

use model2vec_rs::model::StaticModel;

use super::model::{Folder, Model, ModelError};

/// Where the weights and the tokenizer are: as model2vec and as sentence-transformers save them.
const LAYOUTS: [&str; 2] = ["", "0_StaticEmbedding/"];

/// A static model.
pub(super) struct Static(StaticModel);

impl Static {
    /// Reads a model that model2vec or sentence-transformers saved, or the folder of the Python
    /// package `wordllama` as it is.
    pub(super) fn read(folder: &mut Folder) -> Result<Self, ModelError> {
        let (weights, tokenizer) = files(folder)?;
        let config = match folder.has("config.json") {
            true => folder.read("config.json")?,
            false => b"{}".to_vec(),
        };
        let tokenizer = folder.read(&tokenizer)?;
        let weights_bytes = folder.read(&weights)?;
        // Whether vectors come with length 1 is the model's choice; their cosines do not depend on it.
        let model = StaticModel::from_bytes(tokenizer, weights_bytes, config, None);
        let model = model.map_err(|error| folder.unusable(&weights, format!("{error:#}")))?;
        Ok(Self(model))
    }
}

/// The names of the files of weights and tokenizer.
fn files(folder: &Folder) -> Result<(String, String), ModelError> {
    for place in LAYOUTS {
        let weights = format!("{place}model.safetensors");
        if folder.has(&weights) {
            return Ok((weights, format!("{place}tokenizer.json")));
        }
    }
    let weights = folder.only("weights", "safetensors")?;
    let tokenizer = folder.only("tokenizers", "json")?;
    let found = weights.zip(tokenizer);
    found.ok_or_else(|| ModelError::Missing(folder.shown("model.safetensors")))
}

impl Model for Static {
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        // Text by text, on this thread: in batches it would take all processors for each of them.
        let vectors = texts.iter().map(|text| self.0.encode_single(text));
        Ok(vectors.collect())
    }
}
