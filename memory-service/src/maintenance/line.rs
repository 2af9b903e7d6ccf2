//! Records as lines of JSON: a first line that says what made the vectors, then one for each item.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service_runtime::Tenant;

use crate::{
    domain::{
        Document, EmbedderIdentity, Etag, IndexPath, Indexing, Item, ItemId, Key, Namespace, Time,
        Ttl, Version,
    },
    lexical::WordVector,
    store::{Vectors, archive::Record},
};

/// Version of the lines.
const FORMAT: &str = "weft-memory-export 1";

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    format: String,
    /// What made the vectors; null for nothing.
    pub(super) embedder: Option<EmbedderIdentity>,
}

impl Header {
    pub(super) fn new(embedder: Option<EmbedderIdentity>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            embedder,
        }
    }

    /// Reads the first line; what is wrong with it continues a sentence.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let header: Self = serde_json::from_slice(line)
            .map_err(|error| format!("does not begin as an export does: {error}"))?;
        match header.format.as_str() {
            FORMAT => Ok(header),
            other => Err(format!(
                "has format `{other}`, but this version reads `{FORMAT}`"
            )),
        }
    }
}

/// One item. Times are microseconds since the Unix epoch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    tenant: String,
    namespace: Vec<String>,
    key: String,
    /// Exactly as it was put.
    value: Box<RawValue>,
    create_time: i64,
    update_time: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expire_time: Option<i64>,
    /// Microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
    etag: String,
    /// Index paths; empty for none; absent for those that are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index_paths: Option<Vec<String>>,
    /// Hashes of words and their weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    words: Vec<(u32, f32)>,
    /// One for each text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    vectors: Vec<Vec<f32>>,
}

/// The line of a record.
pub(super) fn write(record: &Record) -> Result<String, serde_json::Error> {
    let Record {
        tenant,
        item: Item { id, value, version },
        indexing,
        vectors,
        strays: _,
    } = record;
    let words = vectors.words.iter();
    let words = words.flat_map(|words| words.words.iter().zip(&words.weights));
    let line = Line {
        tenant: tenant.to_string(),
        namespace: id.namespace.labels().to_vec(),
        key: id.key.to_string(),
        value: value.raw().to_owned(),
        create_time: version.create_time.micros(),
        update_time: version.update_time.micros(),
        expire_time: version.expire_time.map(Time::micros),
        ttl: version.ttl.map(Ttl::micros),
        etag: version.etag.to_string(),
        index_paths: match indexing {
            Indexing::Configured => None,
            Indexing::Disabled => Some(Vec::new()),
            Indexing::Paths(paths) => Some(paths.iter().map(ToString::to_string).collect()),
        },
        words: words.map(|(word, weight)| (*word, *weight)).collect(),
        vectors: vectors.meanings.clone(),
    };
    serde_json::to_string(&line)
}

/// Reads a line, checked as a put is; what is wrong with it continues a sentence.
pub(super) fn read(line: &[u8], embedder: Option<&EmbedderIdentity>) -> Result<Record, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let namespace = Namespace::try_new("namespace", line.namespace);
    let key = Key::try_new("key", line.key);
    let id = ItemId {
        namespace: namespace.map_err(|violations| violations.to_string())?,
        key: key.map_err(|violations| violations.to_string())?,
    };
    let value = Document::try_new(line.value).ok_or("its value is no object")?;
    value.parse().map_err(|error| error.to_string())?;
    let etag = Etag::parse(&line.etag).ok_or("its etag is none")?;
    let version = Version {
        create_time: Time::from_micros(line.create_time),
        update_time: Time::from_micros(line.update_time),
        expire_time: line.expire_time.map(Time::from_micros),
        ttl: line.ttl.map(Ttl::from_micros),
        etag,
    };
    if version.expire_time.is_some() != version.ttl.is_some() {
        return Err("`expire_time` and `ttl` must both be there, or neither".to_owned());
    }
    let indexing = match line.index_paths {
        None => Indexing::Configured,
        Some(paths) if paths.is_empty() => Indexing::Disabled,
        Some(paths) => {
            let paths = paths.iter().map(|path| {
                IndexPath::parse(path).map_err(|error| format!("index path `{path}` {error}"))
            });
            Indexing::Paths(paths.collect::<Result<_, _>>()?)
        }
    };
    let dims = embedder.map_or(0, |embedder| embedder.dims);
    if line.vectors.iter().any(|vector| vector.len() != dims) {
        return Err(format!("its vectors must have {dims} numbers each"));
    }
    let (words, weights): (Vec<_>, Vec<_>) = line.words.into_iter().unzip();
    let words = (!words.is_empty()).then_some(WordVector { words, weights });
    Ok(Record {
        tenant: Tenant::try_new(&line.tenant).map_err(|error| error.to_string())?,
        item: Item { id, value, version },
        indexing,
        vectors: Vectors {
            words,
            meanings: line.vectors,
        },
        strays: Vec::new(),
    })
}
