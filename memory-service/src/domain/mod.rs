//! What memory is, without any transport or engine: names, documents, conditions, versions.

pub mod document;
pub mod embedder;
pub mod filter;
pub mod index_path;
pub mod indexing;
pub mod item;
pub mod json;
pub mod key;
pub mod listing;
pub mod namespace;
pub mod number;
pub mod time;

pub use document::Document;
pub use embedder::{EmbedderIdentity, IndexIdentity};
pub use filter::Filter;
pub use index_path::IndexPath;
pub use indexing::Indexing;
pub use item::{Conflict, Etag, Item, ItemId, Precondition, Version};
pub use json::Json;
pub use key::Key;
pub use listing::{NamespaceCount, NamespaceQuery};
pub use namespace::{LabelPattern, Namespace, NamespacePrefix};
pub use time::{Clock, SystemClock, Time, Ttl};
