//! Fusion: one score out of how near an item is in meaning and how well its words match.

use serde::{Deserialize, Serialize};

/// The BM25 score that counts half of what words can count at most, unless it is configured.
pub const DEFAULT_SATURATION: f64 = 10.0;

/// Which way scores become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The cosine and the saturated BM25 score, weighted. Of what was measured on public retrieval
    /// sets it was best or level.
    #[default]
    Weighted,
    /// By the places in both lists alone (reciprocal rank fusion).
    Rrf,
    /// Both scores by where they lie among the best of their side (distribution-based score fusion).
    Dbsf,
}

/// How scores become one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fusion {
    /// Which way.
    pub method: Method,
    /// How much meaning counts, from 0 to 1; words count the rest.
    pub semantic_weight: f64,
    /// Of [`Method::Weighted`]: the BM25 score that counts half. Greater than 0.
    pub saturation: f64,
    /// Of [`Method::Rrf`]: how many places further down an item counts half of what the first one
    /// does, less one. At least 0.
    pub rrf_k: f64,
}

impl Default for Fusion {
    fn default() -> Self {
        Self {
            method: Method::Weighted,
            semantic_weight: 0.5,
            saturation: DEFAULT_SATURATION,
            rrf_k: 2.0,
        }
    }
}

/// What is wrong with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FusionError {
    /// A weight that is none.
    #[error("`--hybrid-semantic-weight` must be from 0 to 1")]
    SemanticWeight,
    /// A saturation that is none.
    #[error("`--hybrid-saturation` must be greater than 0")]
    Saturation,
    /// A constant that makes no sense.
    #[error("`--hybrid-rrf-k` must be at least 0")]
    RrfK,
}

impl Fusion {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`FusionError`] names the one that makes no sense.
    pub fn check(self) -> Result<Self, FusionError> {
        if !(0.0..=1.0).contains(&self.semantic_weight) {
            return Err(FusionError::SemanticWeight);
        }
        if !(self.saturation > 0.0 && self.saturation.is_finite()) {
            return Err(FusionError::Saturation);
        }
        if !(self.rrf_k >= 0.0 && self.rrf_k.is_finite()) {
            return Err(FusionError::RrfK);
        }
        Ok(self)
    }

    /// A cosine and a BM25 score as one, at most 1. Who shares no word with the query has no
    /// second one.
    pub(crate) fn weighted(&self, meaning: Option<f64>, words: Option<f64>) -> f64 {
        let words = words.map(|score| saturated(score, self.saturation));
        self.sum(meaning.unwrap_or(0.0), words.unwrap_or(0.0))
    }

    /// Both scores as one, by where they lie among others; mostly between 0 and 1.
    pub(crate) fn distributed(
        &self,
        spreads: Spreads,
        meaning: Option<f64>,
        words: Option<f64>,
    ) -> f64 {
        let meaning = meaning.map(|score| spreads.meaning.position(score));
        // Nobody does better for having no word at all.
        let words = words.map(|score| spreads.words.position(score).max(0.0));
        self.sum(meaning.unwrap_or(0.0), words.unwrap_or(0.0))
    }

    /// Two places as one score: 1 for who is first in both lists. Places begin at 1; who is not in
    /// a list gets nothing for it.
    pub(crate) fn reciprocal(&self, meaning: Option<usize>, words: Option<usize>) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "places stay below 2^53")]
        let share = |place: usize| (self.rrf_k + 1.0) / (self.rrf_k + place as f64);
        self.sum(meaning.map_or(0.0, share), words.map_or(0.0, share))
    }

    fn sum(&self, meaning: f64, words: f64) -> f64 {
        self.semantic_weight * meaning + (1.0 - self.semantic_weight) * words
    }
}

/// A BM25 score between 0 and 1; `half` is the score that becomes one half.
pub(crate) fn saturated(score: f64, half: f64) -> f64 {
    score / (score + half)
}

/// Where the best scores of both sides lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spreads {
    pub(crate) meaning: Spread,
    pub(crate) words: Spread,
}

/// Where scores lie: from three standard deviations below their mean to three above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    low: f64,
    width: f64,
}

impl Spread {
    pub(crate) fn of(scores: impl Iterator<Item = f64> + Clone) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
        let count = scores.clone().count().max(1) as f64;
        let mean = scores.clone().sum::<f64>() / count;
        let variance = scores.map(|score| (score - mean).powi(2)).sum::<f64>() / count;
        let deviation = variance.sqrt();
        Self {
            low: mean - 3.0 * deviation,
            width: 6.0 * deviation,
        }
    }

    /// 0 at the lower end, 1 at the upper one; scores that are all the same are in the middle.
    fn position(self, score: f64) -> f64 {
        // Less is the rounding of sums, not a difference between scores.
        if self.width > 1e-9 {
            (score - self.low) / self.width
        } else {
            0.5
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fusion(semantic_weight: f64) -> Fusion {
        Fusion {
            semantic_weight,
            ..Fusion::default()
        }
    }

    #[track_caller]
    fn assert_near(score: f64, expected: f64) {
        assert!((score - expected).abs() < 1e-12, "{score} {expected}");
    }

    #[test]
    fn a_weighted_score_is_a_sum_of_cosine_and_saturated_words() {
        assert_near(fusion(0.5).weighted(Some(0.8), Some(10.0)), 0.65);
        assert_near(fusion(0.25).weighted(Some(-0.4), None), -0.1);
        assert_near(fusion(0.0).weighted(Some(1.0), Some(30.0)), 0.75);
        let gentle = Fusion {
            saturation: 2.0,
            ..fusion(0.5)
        };
        assert_near(gentle.weighted(None, Some(2.0)), 0.25);
    }

    #[test]
    fn places_count_less_the_further_down_they_are() {
        assert_near(fusion(0.5).reciprocal(Some(1), Some(1)), 1.0);
        assert_near(fusion(0.5).reciprocal(Some(4), None), 0.25);
        let steep = Fusion {
            rrf_k: 0.0,
            ..fusion(0.75)
        };
        assert_near(steep.reciprocal(Some(2), Some(5)), 0.375 + 0.05);
    }

    #[test]
    fn scores_are_placed_among_those_of_their_side() {
        let spread = |scores: &[f64]| Spread::of(scores.iter().copied());
        // A mean of 3 and a deviation of 1.
        let spreads = Spreads {
            meaning: spread(&[2.0, 4.0, 2.0, 4.0]),
            words: spread(&[7.0, 7.0]),
        };
        let fusion = fusion(0.5);
        assert_near(fusion.distributed(spreads, Some(3.0), None), 0.25);
        assert_near(fusion.distributed(spreads, Some(6.0), Some(7.0)), 0.75);
        assert_near(fusion.distributed(spreads, Some(0.0), Some(9.0)), 0.25);
        let spreads = Spreads {
            words: spreads.meaning,
            ..spreads
        };
        assert_near(fusion.distributed(spreads, Some(-3.0), Some(-9.0)), -0.25);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for semantic_weight in [-0.1, 1.1, f64::NAN] {
            assert_eq!(
                fusion(semantic_weight).check(),
                Err(FusionError::SemanticWeight)
            );
        }
        for saturation in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let fusion = Fusion {
                saturation,
                ..fusion(0.5)
            };
            assert_eq!(fusion.check(), Err(FusionError::Saturation));
        }
        for rrf_k in [-0.5, f64::NAN, f64::INFINITY] {
            let fusion = Fusion {
                rrf_k,
                ..fusion(0.5)
            };
            assert_eq!(fusion.check(), Err(FusionError::RrfK));
        }
        assert!(fusion(1.0).check().is_ok());
    }
}
