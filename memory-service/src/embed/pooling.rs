//! Pooling: one vector out of the states that a model has for the tokens of a text.

use candle_core::{DType, Result, Tensor};
use serde::Deserialize;

use super::model::{Folder, ModelError};

/// How states become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The state of the first token, which stands for the whole text.
    First,
    /// The mean over all tokens.
    Mean,
    /// The greatest number over all tokens, each dimension by itself.
    Max,
}

/// `1_Pooling/config.json`. Names that begin otherwise are of no matter here.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

impl Pooling {
    /// Reads how a model pools.
    pub(super) fn read(folder: &mut Folder, file: &str) -> std::result::Result<Self, ModelError> {
        let config: Option<Config> = folder.read_json(file)?;
        let config = config.ok_or_else(|| ModelError::Missing(folder.shown(file)))?;
        match config {
            Config {
                pooling_mode_mean_sqrt_len_tokens: false,
                pooling_mode_weightedmean_tokens: false,
                pooling_mode_lasttoken: false,
                pooling_mode_cls_token: first,
                pooling_mode_mean_tokens: mean,
                pooling_mode_max_tokens: max,
            } => match (first, mean, max) {
                (true, false, false) => Ok(Self::First),
                (false, true, false) => Ok(Self::Mean),
                (false, false, true) => Ok(Self::Max),
                _ => Err(folder.unusable(file, "exactly one mode must be true")),
            },
            _ => {
                let cause =
                    "only the modes `cls_token`, `mean_tokens` and `max_tokens` are supported";
                Err(folder.unusable(file, cause))
            }
        }
    }

    /// One vector for each text out of `states` (text, token, dimension); `mask` is 1 for tokens and
    /// 0 for padding.
    pub(super) fn pool(self, states: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        match self {
            Self::First => states.narrow(1, 0, 1)?.squeeze(1),
            Self::Mean => {
                let sums = states.broadcast_mul(&mask)?.sum(1)?;
                sums.broadcast_div(&mask.sum(1)?)
            }
            Self::Max => {
                // Padding is made too small to be the greatest.
                let padding = ((mask - 1.0)? * 1e9)?;
                states.broadcast_add(&padding)?.max(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn padding_has_no_part_in_what_is_pooled() {
        let states = [[[1_f32, -4.0], [3.0, -2.0], [9.0, 9.0]]];
        let states = Tensor::new(&states, &Device::Cpu).unwrap();
        let mask = Tensor::new(&[[1_u32, 1, 0]], &Device::Cpu).unwrap();
        let pooled = |pooling: Pooling| {
            let pooled = pooling.pool(&states, &mask).unwrap();
            pooled.to_vec2::<f32>().unwrap().concat()
        };
        assert_eq!(pooled(Pooling::First), [1.0, -4.0]);
        assert_eq!(pooled(Pooling::Mean), [2.0, -3.0]);
        assert_eq!(pooled(Pooling::Max), [3.0, -2.0]);
    }

    #[test]
    fn modes_that_are_not_supported_are_refused_and_not_replaced() {
        let read = |config: &str| {
            let path = tempfile::tempdir().unwrap();
            std::fs::write(path.path().join("config.json"), config).unwrap();
            Pooling::read(&mut Folder::new(path.path()), "config.json")
        };
        let mean = r#"{"word_embedding_dimension":4,"pooling_mode_mean_tokens":true}"#;
        assert_eq!(read(mean), Ok(Pooling::Mean));
        for config in [
            "{}",
            r#"{"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":true}"#,
            r#"{"pooling_mode_lasttoken":true}"#,
        ] {
            assert!(read(config).is_err(), "{config}");
        }
    }
}
