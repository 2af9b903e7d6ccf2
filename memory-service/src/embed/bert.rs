//! BERT encoders in the sentence-transformers format.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use serde::Deserialize;
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use super::{
    model::{Folder, Model, ModelError},
    pooling::Pooling,
};

/// Most tokens that go through the model at once, padding included: some 100 MB at work.
const BATCH_TOKENS: usize = 4096;

/// Longest piece of text that can make one token, in bytes: a word of 100 characters, beyond which
/// tokenizers of BERT know no words, and some space around it.
const TOKEN_BYTES: usize = 512;

/// A BERT encoder.
pub(super) struct Bert {
    model: BertModel,
    tokenizer: Tokenizer,
    pooling: Pooling,
    max_tokens: usize,
    normalize: bool,
}

/// A line of `modules.json`: texts go through its modules one after the other.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    class: String,
}

/// `sentence_bert_config.json`, as far as it matters.
#[derive(Default, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

/// `tokenizer_config.json`, as far as it matters.
#[derive(Default, Deserialize)]
struct TokenizerConfig {
    /// A float of 10^30 stands for no limit.
    model_max_length: Option<f64>,
}

impl Bert {
    /// Reads an encoder, what pools its states, and what bounds its texts.
    pub(super) fn read(folder: &mut Folder) -> Result<Self, ModelError> {
        let mut place = String::new();
        let mut pooling = Pooling::Mean;
        let mut normalize = false;
        let modules: Vec<Module> = folder.read_json("modules.json")?.unwrap_or_default();
        for Module { path, class } in modules {
            match class.rsplit('.').next().unwrap_or_default() {
                "Transformer" if path.is_empty() => {}
                "Transformer" => place = format!("{path}/"),
                "Pooling" => pooling = Pooling::read(folder, &format!("{path}/config.json"))?,
                "Normalize" => normalize = true,
                _ => {
                    let cause = format!("modules of type `{class}` are not supported");
                    return Err(folder.unusable("modules.json", cause));
                }
            }
        }
        let config = config(folder, &format!("{place}config.json"))?;
        let max_tokens = max_tokens(folder, &place, &config)?;
        let tokenizer = tokenizer(folder, &format!("{place}tokenizer.json"), max_tokens)?;
        let weights = format!("{place}model.safetensors");
        let bytes = folder.read(&weights)?;
        let model = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)
            .and_then(|weights| BertModel::load(weights, &config))
            .map_err(|error| folder.unusable(&weights, error))?;
        Ok(Self {
            model,
            tokenizer,
            pooling,
            max_tokens,
            normalize,
        })
    }

    fn tokens(&self, text: &str) -> Result<Encoding, String> {
        // What is beyond the last token would be taken apart for nothing.
        let bound = text.floor_char_boundary(self.max_tokens * TOKEN_BYTES);
        let text = text.get(..bound).unwrap_or(text);
        let encoding = self.tokenizer.encode_fast(text, true);
        encoding.map_err(|error| error.to_string())
    }

    /// The vectors of texts that go through the model together, made equally long by padding that
    /// is masked out.
    fn forward(&self, texts: &[&Encoding]) -> candle_core::Result<Vec<Vec<f32>>> {
        let length = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let padded = |numbers: &[u32]| {
            let padding = std::iter::repeat_n(0, length - numbers.len());
            numbers.iter().copied().chain(padding).collect::<Vec<_>>()
        };
        let tensor = |numbers: fn(&Encoding) -> &[u32]| {
            let rows = texts.iter().flat_map(|text| padded(numbers(text)));
            Tensor::from_iter(rows, &Device::Cpu)?.reshape((texts.len(), length))
        };
        let ids = tensor(Encoding::get_ids)?;
        let types = tensor(Encoding::get_type_ids)?;
        let mask = tensor(Encoding::get_attention_mask)?;
        let states = self.model.forward(&ids, &types, Some(&mask))?;
        self.pooling.pool(&states, &mask)?.to_vec2()
    }
}

fn config(folder: &mut Folder, file: &str) -> Result<Config, ModelError> {
    let config: Config = folder
        .read_json(file)?
        .ok_or_else(|| ModelError::Missing(folder.shown(file)))?;
    match config.model_type.as_deref() {
        None | Some("bert") => Ok(config),
        Some(other) => {
            let cause = format!("models of type `{other}` are not supported, only `bert`");
            Err(folder.unusable(file, cause))
        }
    }
}

/// How many tokens of a text count: what the model was trained for, at most what it has positions
/// for.
fn max_tokens(folder: &mut Folder, place: &str, config: &Config) -> Result<usize, ModelError> {
    let sentence = format!("{place}sentence_bert_config.json");
    let sentence: SentenceConfig = folder.read_json(&sentence)?.unwrap_or_default();
    let tokens = match sentence.max_seq_length {
        Some(tokens) => tokens,
        None => {
            let tokenizer = format!("{place}tokenizer_config.json");
            let tokenizer: TokenizerConfig = folder.read_json(&tokenizer)?.unwrap_or_default();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cast of a float stops at the ends of the range, which is what is meant"
            )]
            tokenizer
                .model_max_length
                .map_or(usize::MAX, |tokens| tokens as usize)
        }
    };
    // Two are taken by what marks the ends of a text.
    Ok(tokens.min(config.max_position_embeddings).max(3))
}

fn tokenizer(folder: &mut Folder, file: &str, max_tokens: usize) -> Result<Tokenizer, ModelError> {
    let bytes = folder.read(file)?;
    let mut tokenizer =
        Tokenizer::from_bytes(bytes).map_err(|error| folder.unusable(file, error))?;
    let truncation = TruncationParams {
        max_length: max_tokens,
        ..TruncationParams::default()
    };
    tokenizer
        .with_padding(None)
        .with_truncation(Some(truncation))
        .map_err(|error| folder.unusable(file, error))?;
    Ok(tokenizer)
}

impl Model for Bert {
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let encodings: Result<Vec<_>, _> = texts.iter().map(|text| self.tokens(text)).collect();
        let encodings = encodings?;
        // Texts of like length go together, so that little is padding.
        let mut order: Vec<_> = (0..texts.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(encodings[*index].len()));
        let mut vectors = vec![Vec::new(); texts.len()];
        let mut rest = order.as_slice();
        while let Some(longest) = rest.first() {
            let rows = (BATCH_TOKENS / encodings[*longest].len().max(1)).max(1);
            let (batch, others) = rest.split_at(rows.min(rest.len()));
            let together: Vec<_> = batch.iter().map(|index| &encodings[*index]).collect();
            let pooled = self.forward(&together).map_err(|error| error.to_string())?;
            for (index, mut vector) in batch.iter().zip(pooled) {
                if self.normalize {
                    normalize(&mut vector);
                }
                vectors[*index] = vector;
            }
            rest = others;
        }
        Ok(vectors)
    }
}

fn normalize(vector: &mut [f32]) {
    let squares: f32 = vector.iter().map(|number| number * number).sum();
    // As sentence-transformers bounds it, so that nothing is divided by zero.
    let length = squares.sqrt().max(1e-12);
    vector.iter_mut().for_each(|number| *number /= length);
}
