//! Whether all that is stored of an item follows from its document, and finds it.

use service_runtime::BoxError;

use crate::{
    domain::{
        IndexIdentity, IndexPath, Indexing, Item, NamespacePrefix, filter::terms, json::Json,
    },
    embed::Template,
    lexical::Bm25,
    prepare::to_embed,
    store::{
        RankOrder, RankQuery, Ranked, StoreError,
        archive::{Archive, Record},
        index::Index,
    },
};

/// How far the length of a vector may be from 1, to which the engine brings all but those of nothing:
/// far more than rounding leaves.
const ROUNDING: f64 = 1e-4;

/// What items of a store are compared with.
pub(super) struct Soundness<'a> {
    pub(super) store: &'a dyn Archive,
    bm25: Bm25,
    /// Where documents have their texts, unless their puts said; `None` if that was not recorded.
    paths: Option<Vec<IndexPath>>,
    /// What was embedded of each text; `None` for nothing.
    template: Option<Template>,
    dims: usize,
}

impl<'a> Soundness<'a> {
    /// Of a store with this index.
    ///
    /// # Errors
    /// If the index is of another version's.
    pub(super) fn of(store: &'a dyn Archive, index: IndexIdentity) -> Result<Self, BoxError> {
        let IndexIdentity { embedder, paths } = index;
        let template = embedder.as_ref().map(|embedder| &embedder.template);
        let path = |path: String| {
            IndexPath::parse(&path).map_err(|error| format!("index path `{path}` {error}"))
        };
        let paths = paths.map(|paths| paths.into_iter().map(path).collect());
        Ok(Self {
            store,
            bm25: Bm25::new()?,
            paths: paths.transpose()?,
            template: template.map(|text| Template::parse(text)).transpose()?,
            dims: embedder.map_or(0, |embedder| embedder.dims),
        })
    }

    /// What is wrong with a record.
    pub(super) async fn fault_of(&self, record: &Record) -> Result<Option<String>, StoreError> {
        let Record { tenant, item, .. } = record;
        let fault = match item.value.parse() {
            Err(_) => Some("its value is not JSON".to_owned()),
            Ok(document) => match self.difference(record, &document) {
                None => self.loss(record, &document).await?,
                difference => difference,
            },
        };
        Ok(fault.map(|fault| format!("{} of `{tenant}`: {fault}", item.id)))
    }

    /// What does not follow from the document.
    fn difference(&self, record: &Record, document: &Json) -> Option<String> {
        let Record {
            tenant: _,
            item: Item { id, version, .. },
            indexing,
            vectors,
            strays,
        } = record;
        if let [stray, ..] = strays.as_slice() {
            return Some(format!("its field `{stray}` does not follow from it"));
        }
        if version.expire_time.is_some() != version.ttl.is_some() {
            return Some("it has a lifetime and no end, or an end and no lifetime".into());
        }
        if vectors
            .meanings
            .iter()
            .any(|vector| vector.len() != self.dims)
        {
            return Some("its vectors are of another length than the embedder's".into());
        }
        let is_as_made = |vector: &Vec<f32>| {
            let squares = vector.iter().map(|number| f64::from(*number).powi(2));
            let squares = squares.sum::<f64>();
            // Next to nothing is not made longer.
            squares < f64::from(f32::EPSILON) || (squares.sqrt() - 1.0).abs() <= ROUNDING
        };
        if !vectors.meanings.iter().all(is_as_made) {
            return Some("its vectors are not as they were made".into());
        }
        let paths = match (indexing, &self.paths) {
            (Indexing::Configured, None) => return None,
            (_, paths) => paths.as_deref().unwrap_or_default(),
        };
        let texts = indexing.texts(paths, document);
        let is_as_made = match (&vectors.words, self.bm25.document(&texts)) {
            (Some(words), Some(made)) => words.is_like(&made),
            (None, None) => true,
            _ => false,
        };
        if !is_as_made {
            return Some("its words are not those of its texts".into());
        }
        let embedded = self.template.as_ref();
        let embedded = embedded.map_or(0, |template| to_embed(template, id, &texts).len());
        (vectors.meanings.len() != embedded).then(|| {
            let found = vectors.meanings.len();
            format!("it has {found} vectors, but {embedded} texts that are embedded")
        })
    }

    /// What it should be found by and is not: what an index lacks is found by nobody, so it is asked
    /// for.
    async fn loss(&self, record: &Record, document: &Json) -> Result<Option<String>, StoreError> {
        let Record {
            tenant,
            item,
            vectors,
            ..
        } = record;
        let now = item.version.update_time;
        if !item.version.is_live(now) {
            return Ok(None);
        }
        let terms = terms::of_document(document).into_iter();
        let narrowing = terms::Narrowing {
            clauses: terms.map(|term| vec![term]).collect(),
        };
        let labels = item.id.namespace.labels().to_vec();
        let Ok(prefix) = NamespacePrefix::try_new("namespace", labels) else {
            return Ok(Some("its namespace is none".to_owned()));
        };
        let query = |order| RankQuery {
            prefix: prefix.clone(),
            narrowing: narrowing.clone(),
            among: Some(vec![record.place()]),
            order,
            index: Index::Present,
            limit: 1,
            load: 0,
            times: false,
            now,
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds stay below 2^53 until 2255"
        )]
        let updated = now.micros() as f64;
        let found = self.store.rank(tenant, query(RankOrder::Newest)).await?;
        match found.first() {
            None => return Ok(Some("no search finds it".to_owned())),
            Some(Ranked { rank, .. }) if *rank != updated => {
                return Ok(Some(
                    "searches take it for updated at another time".to_owned(),
                ));
            }
            Some(_) => {}
        }
        let words = vectors.words.clone().map(RankOrder::Words);
        let meaning = vectors.meanings.first().cloned().map(RankOrder::Meaning);
        for (order, fault) in [
            (words, "no search by words finds it"),
            (meaning, "no search by meaning finds it"),
        ] {
            if let Some(order) = order
                && self.store.rank(tenant, query(order)).await?.is_empty()
            {
                return Ok(Some(fault.to_owned()));
            }
        }
        Ok(None)
    }
}
