//! The promises of memory-service: `conformance` is the suite of what its callers see, on any engine;
//! the other files are each of one topic beside it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod aimock;
mod commands;
mod conformance;
mod crash;
mod damages;
mod deep_pages;
mod disk;
mod embedder;
mod embedder_identity;
mod embedding;
mod embedding_speed;
mod interrupted;
mod late_puts;
mod local_models;
mod maintenance;
mod model;
mod model_folders;
mod optimising;
mod partners;
mod process;
mod qdrant_archive;
mod qdrant_away;
mod qdrant_names;
mod qdrant_opening;
mod qdrant_server;
mod reindexing;
mod replicas;
mod support;
