//! Searches done by the service and by the model, and compared.

use proptest::{prop_assert, prop_assert_eq, test_runner::TestCaseError};
use weft_proto::memory::v1 as pb;

use super::{
    memory::Checked,
    operation::{Name, Search},
    requests,
    run::{Pair, answered},
};

/// More than there are items.
pub(super) const ALL: i32 = 1_000;

impl Pair {
    pub(super) async fn search(&mut self, search: &Search) -> Checked {
        let expected = self.expected(search).await?;
        let request = requests::search(search);
        let answer = answered(self.running.client.search_items(request).await)?;
        if search.refresh == Some(true) {
            for (name, _) in &expected {
                self.model.refresh(name);
            }
        }
        self.check_hits(&expected, &answer.hits)
    }

    /// What a search must find. Of a query, the model knows all that is found and its scores but
    /// for rounding; so it takes the service's scores after it has compared them with its own.
    pub(super) async fn expected(&mut self, search: &Search) -> Checked<Vec<(Name, Option<f64>)>> {
        let Some(query) = search.query else {
            let newest = self.model.newest(search).into_iter();
            return Ok(newest.map(|name| (name, None)).collect());
        };
        let whole = Search {
            limit: ALL,
            offset: 0,
            min_score: None,
            refresh: Some(false),
            ..search.clone()
        };
        let request = requests::search(&whole);
        let hits = answered(self.running.client.search_items(request).await)?.hits;
        let scores = self.model.scores(search, query);
        prop_assert_eq!(hits.len(), scores.len(), "{:?}", &scores);
        let mut found: Vec<(Name, f64)> = Vec::new();
        for hit in hits {
            let item = hit.item.unwrap_or_default();
            let known = scores
                .iter()
                .find(|(name, _)| name.0 == item.namespace && name.1 == item.key);
            let (score, Some((name, expected))) = (hit.score.unwrap_or(f64::NAN), known) else {
                return Err(TestCaseError::fail(format!("found {item:?}")));
            };
            prop_assert!(
                (score - expected).abs() <= 1e-4 * expected.abs().max(0.1),
                "{:?} scores {}, not {}",
                name,
                score,
                expected
            );
            if let Some((last, least)) = found.last() {
                prop_assert!(score < *least || (score == *least && name > last));
            }
            found.push((*name, score));
        }
        let floor = search.min_score.unwrap_or(f64::NEG_INFINITY);
        let page = found.into_iter().filter(|(_, score)| *score >= floor);
        let page = page
            .skip(search.offset as usize)
            .take(search.limit as usize);
        Ok(page.map(|(name, score)| (name, Some(score))).collect())
    }

    pub(super) fn check_hits(
        &self,
        expected: &[(Name, Option<f64>)],
        hits: &[pb::SearchHit],
    ) -> Checked {
        prop_assert_eq!(hits.len(), expected.len(), "{:?}", expected);
        for ((name, score), hit) in expected.iter().zip(hits) {
            prop_assert_eq!(hit.score, *score);
            self.model
                .check_item(name, &hit.item.clone().unwrap_or_default())?;
        }
        Ok(())
    }
}
