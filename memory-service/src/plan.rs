//! Searches made ready to be run: what each ranks by, its query embedded.

use std::collections::HashMap;

use crate::{
    failure::Failure,
    prepare::Preparation,
    rank::Order,
    request::{Ranking, SearchRequest},
    store::{
        RankOrder,
        index::{Index, Stage},
    },
};

/// A search that is ready.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was asked for.
    pub(crate) request: SearchRequest,
    /// What it ranks by; `None` if nothing can match.
    pub(crate) order: Option<Order>,
    /// The index that this is of.
    pub(crate) index: Index,
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
    /// Makes searches ready, in their order, in a store at this stage; equal queries are embedded
    /// once.
    pub(crate) async fn plan(
        &self,
        requests: Vec<SearchRequest>,
        stage: Stage,
    ) -> Result<Vec<Plan>, Failure> {
        let index = stage.searched();
        let embedding = self.indexer(index)?.embedding.as_ref();
        let mut queries = Vec::new();
        for request in &requests {
            match basis(request, embedding.is_some())? {
                Basis::Time | Basis::Words(_) => {}
                // Providers refuse to embed nothing, and nothing has no meaning.
                Basis::Meaning(text) | Basis::Both(text) if text.trim().is_empty() => {}
                Basis::Meaning(text) | Basis::Both(text) => queries.push(text.to_owned()),
            }
        }
        let meanings = match embedding {
            Some(embedding) => embedding.queries(queries).await?,
            None => HashMap::new(),
        };
        let plan = |request: SearchRequest| {
            let order = self.order(basis(&request, embedding.is_some())?, &meanings);
            Ok(Plan {
                request,
                order,
                index,
            })
        };
        requests.into_iter().map(plan).collect()
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

fn basis(request: &SearchRequest, has_embedder: bool) -> Result<Basis<'_>, Failure> {
    let Some(text) = request.words.as_deref() else {
        return Ok(Basis::Time);
    };
    match (request.ranking, has_embedder) {
        (Ranking::Lexical, _) | (Ranking::Best, false) => Ok(Basis::Words(text)),
        (Ranking::Semantic | Ranking::Hybrid, false) => Err(Failure::EmbedderMissing),
        (Ranking::Semantic, true) => Ok(Basis::Meaning(text)),
        (Ranking::Best | Ranking::Hybrid, true) => Ok(Basis::Both(text)),
    }
}
