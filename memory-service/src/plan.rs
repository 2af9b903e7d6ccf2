//! Searches made ready to be run: what each ranks by, its query embedded.

use std::collections::HashMap;

use crate::{
    failure::Failure,
    prepare::Preparation,
    rank::Order,
    request::{Ranking, SearchRequest},
    store::RankOrder,
};

/// A search that is ready.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was asked for.
    pub(crate) request: SearchRequest,
    /// What it ranks by; `None` if nothing can match.
    pub(crate) order: Option<Order>,
}

/// What a search ranks by, its query not embedded yet.
#[derive(Clone, Copy)]
enum Basis<'a> {
    Time,
    Words(&'a str),
    Meaning(&'a str),
    Both(&'a str),
}

impl Preparation {
    /// Makes searches ready, in their order; equal queries are embedded once.
    pub(crate) async fn plan(&self, requests: Vec<SearchRequest>) -> Result<Vec<Plan>, Failure> {
        let mut queries = Vec::new();
        for request in &requests {
            match self.basis(request)? {
                Basis::Time | Basis::Words(_) => {}
                // Providers refuse to embed nothing, and nothing has no meaning.
                Basis::Meaning(text) | Basis::Both(text) if text.trim().is_empty() => {}
                Basis::Meaning(text) | Basis::Both(text) => queries.push(text.to_owned()),
            }
        }
        let meanings = match &self.embedding {
            Some(embedding) => embedding.queries(queries).await?,
            None => HashMap::new(),
        };
        let plan = |request: SearchRequest| {
            let order = self.order(self.basis(&request)?, &meanings);
            Ok(Plan { request, order })
        };
        requests.into_iter().map(plan).collect()
    }

    fn basis<'a>(&self, request: &'a SearchRequest) -> Result<Basis<'a>, Failure> {
        let Some(text) = request.words.as_deref() else {
            return Ok(Basis::Time);
        };
        match (request.ranking, &self.embedding) {
            (Ranking::Lexical, _) | (Ranking::Best, None) => Ok(Basis::Words(text)),
            (Ranking::Semantic | Ranking::Hybrid, None) => Err(Failure::EmbedderMissing),
            (Ranking::Semantic, Some(_)) => Ok(Basis::Meaning(text)),
            (Ranking::Best | Ranking::Hybrid, Some(_)) => Ok(Basis::Both(text)),
        }
    }

    fn order(&self, basis: Basis<'_>, meanings: &HashMap<String, Vec<f32>>) -> Option<Order> {
        match basis {
            Basis::Time => Some(Order::By(RankOrder::Newest)),
            Basis::Words(text) => {
                let words = self.bm25.query(text)?;
                Some(Order::By(RankOrder::Words(words)))
            }
            Basis::Meaning(text) => {
                let meaning = meanings.get(text)?.clone();
                Some(Order::By(RankOrder::Meaning(meaning)))
            }
            Basis::Both(text) => Some(Order::Hybrid {
                words: self.bm25.query(text),
                meaning: meanings.get(text)?.clone(),
                fusion: self.defaults.fusion,
            }),
        }
    }
}
