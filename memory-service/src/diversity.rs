//! Diversity: near duplicates of better finds make room for others (maximal marginal relevance).
//!
//! One find after the other is picked: the one whose relevance, less its likeness to the picked one
//! that it is most like, is greatest. That happens within a pool of fixed size, so that pages of one
//! search are parts of one list; finds beyond the pool follow by relevance alone.

use service_runtime::Tenant;

use crate::{
    domain::document::MAX_DOCUMENT_BYTES,
    failure::Failure,
    fusion::{DEFAULT_SATURATION, saturated},
    lexical::WordVector,
    rank::Order,
    room::Room,
    search::{Hit, Search, search},
    store::{RankOrder, Store, StoreError, Vectors},
};

/// How many of the most relevant are picked from: enough for the pages that anyone reads.
const POOL: usize = 200;

/// Finds one page as [`search`] does, in the order of picks; `diversity` of 0 is relevance alone, 1
/// unlikeness alone.
///
/// # Errors
/// [`Failure`] if the page does not fit into the answer, or the store fails.
pub(crate) async fn diverse(
    store: &dyn Store,
    tenant: &Tenant,
    query: &Search,
    diversity: f64,
) -> Result<Vec<Hit>, Failure> {
    if query.offset >= POOL {
        return search(store, tenant, query).await;
    }
    let wanted = query.offset.saturating_add(query.limit);
    let all = Search {
        offset: 0,
        limit: wanted.max(POOL),
        // What of it is not on the page is in no answer.
        room: Room::of(POOL * MAX_DOCUMENT_BYTES),
        ..query.clone()
    };
    let hits = search(store, tenant, &all).await?;
    let pool = &hits[..hits.len().min(POOL)];
    let ids: Vec<_> = pool.iter().map(|hit| hit.item.id.clone()).collect();
    let by_words = matches!(query.order, Order::By(RankOrder::Words(_)));
    let vectors = store.vectors(tenant, ids, query.index).await?;
    let candidates: Vec<_> = pool
        .iter()
        .zip(vectors)
        .map(|(hit, vectors)| Candidate {
            relevance: if by_words {
                saturated(hit.rank, DEFAULT_SATURATION)
            } else {
                hit.rank
            },
            profile: Profile::of(vectors, by_words),
        })
        .collect();
    // Comparing each with each takes milliseconds.
    let picking = move || pick(&candidates, diversity, wanted);
    let picked = tokio::task::spawn_blocking(picking).await;
    let picked = picked.map_err(|error| StoreError::Internal(error.to_string()))?;
    let order = picked.into_iter().chain(POOL..hits.len());
    let page = order.skip(query.offset).take(query.limit);
    let page: Vec<_> = page.filter_map(|index| hits.get(index).cloned()).collect();
    for hit in &page {
        query.room.take(hit.item.value.text().len())?;
    }
    Ok(page)
}

struct Candidate {
    relevance: f64,
    profile: Profile,
}

/// What likeness is judged by: a direction, of length 1 unless it is nothing.
enum Profile {
    Meaning(Vec<f32>),
    Words(WordVector),
}

impl Profile {
    /// The words of an item, or the mean of its vectors.
    fn of(vectors: Vectors, by_words: bool) -> Self {
        let Vectors { words, meanings } = vectors;
        if by_words {
            let mut words = words.unwrap_or(WordVector {
                words: Vec::new(),
                weights: Vec::new(),
            });
            normalize(&mut words.weights);
            return Self::Words(words);
        }
        let mut sum = meanings.first().cloned().unwrap_or_default();
        for meaning in meanings.iter().skip(1) {
            for (sum, number) in sum.iter_mut().zip(meaning) {
                *sum += number;
            }
        }
        normalize(&mut sum);
        Self::Meaning(sum)
    }

    /// The cosine.
    fn likeness(&self, other: &Self) -> f64 {
        let product: f32 = match (self, other) {
            (Self::Meaning(one), Self::Meaning(other)) => {
                one.iter().zip(other).map(|(one, other)| one * other).sum()
            }
            (Self::Words(one), Self::Words(other)) => {
                let shared = one
                    .words
                    .iter()
                    .zip(&one.weights)
                    .filter_map(|(word, weight)| {
                        let index = other.words.binary_search(word).ok()?;
                        Some(weight * other.weights.get(index)?)
                    });
                shared.sum()
            }
            (Self::Meaning(_), Self::Words(_)) | (Self::Words(_), Self::Meaning(_)) => 0.0,
        };
        f64::from(product)
    }
}

fn normalize(numbers: &mut [f32]) {
    let length = numbers
        .iter()
        .map(|number| number * number)
        .sum::<f32>()
        .sqrt();
    if length > 0.0 {
        numbers.iter_mut().for_each(|number| *number /= length);
    }
}

/// The indexes of the first `picks` picks. Of equal ones the first is picked.
fn pick(candidates: &[Candidate], diversity: f64, picks: usize) -> Vec<usize> {
    let mut left: Vec<_> = (0..candidates.len()).map(|index| (index, None)).collect();
    let mut picked = Vec::new();
    while picked.len() < picks && !left.is_empty() {
        let value = |(index, likeness): &(usize, Option<f64>)| {
            let relevance: f64 = candidates[*index].relevance;
            (1.0 - diversity) * relevance - diversity * likeness.unwrap_or(0.0)
        };
        let mut best = 0;
        for place in 1..left.len() {
            if value(&left[place]) > value(&left[best]) {
                best = place;
            }
        }
        let (pick, _) = left.remove(best);
        for (index, likeness) in &mut left {
            let to_pick = candidates[*index]
                .profile
                .likeness(&candidates[pick].profile);
            *likeness = Some(likeness.map_or(to_pick, |most: f64| most.max(to_pick)));
        }
        picked.push(pick);
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(candidates: &[(f64, [f32; 2])], diversity: f64) -> Vec<usize> {
        let candidate = |(relevance, meaning): &(f64, [f32; 2])| Candidate {
            relevance: *relevance,
            profile: Profile::of(
                Vectors {
                    words: None,
                    meanings: vec![meaning.to_vec()],
                },
                false,
            ),
        };
        let candidates: Vec<_> = candidates.iter().map(candidate).collect();
        pick(&candidates, diversity, candidates.len())
    }

    #[test]
    fn near_duplicates_come_later_the_more_diversity_is_asked_for() {
        let candidates = [(0.9, [1.0, 0.0]), (0.8, [2.0, 0.1]), (0.5, [0.0, 1.0])];
        assert_eq!(picked(&candidates, 0.0), [0, 1, 2]);
        assert_eq!(picked(&candidates, 0.5), [0, 2, 1]);
        assert_eq!(picked(&candidates, 1.0), [0, 2, 1]);
        assert!(picked(&[], 0.5).is_empty());
    }

    #[test]
    fn words_are_alike_as_far_as_they_are_shared() {
        let profile = |words: &[u32]| {
            let words = WordVector {
                words: words.to_vec(),
                weights: vec![2.0; words.len()],
            };
            let vectors = Vectors {
                words: Some(words),
                meanings: Vec::new(),
            };
            Profile::of(vectors, true)
        };
        let one = profile(&[1, 5, 7, 9]);
        for (other, expected) in [(&[1, 5, 7, 9][..], 1.0), (&[2, 5, 9, 11], 0.5), (&[2], 0.0)] {
            assert!((one.likeness(&profile(other)) - expected).abs() < 1e-6);
        }
    }
}
