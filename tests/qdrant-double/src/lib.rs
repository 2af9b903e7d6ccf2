//! A stand-in for a Qdrant server, for tests where there is none: the part of its gRPC API that
//! memory-service uses, on the embedded engine. It is strict: what a real server in strict mode
//! refuses, it refuses, and what it does not know it refuses as well. Never part of what is shipped.
//!
//! # Layout
//! - [`settings`]: what it pretends to be
//! - [`running`]: a double in a test's process
//! - `server`: the services on a socket, and who may call them
//! - `collection`: one collection in a folder
//! - `layout`: how it is made
//! - `catalog`: all collections
//! - `collections`, `points`: the two services
//! - `calls`: what calls for points have in common
//! - `update`, `read`, `query`: what points are asked for
//! - `filter`, `schema`: conditions, and the indexes that they need
//! - `vector`, `payload`: what points are made of
//! - `unserved`: calls that memory-service does not make
//! - `refusal`: how a server says no

mod calls;
mod catalog;
mod collection;
mod collections;
mod filter;
mod layout;
mod payload;
mod points;
mod query;
mod read;
mod refusal;
pub mod running;
mod schema;
mod server;
pub mod settings;
mod unserved;
mod update;
mod vector;

pub use running::Running;
pub use server::serve;
pub use settings::Settings;
