//! The promises of memory-service, one topic a file: of any store (`conformance`), and of the
//! service as its callers see it through gRPC.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod aimock;
mod bad_choices;
mod bad_input;
mod batches;
mod commands;
mod concurrency;
mod conformance;
mod conformance_of_reads;
mod crash;
mod deep_pages;
mod disk;
mod embedder;
mod embedding;
mod embedding_speed;
mod fusion;
mod items;
mod late_puts;
mod lifetimes;
mod listing;
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
mod recency;
mod reindexing;
mod replicas;
mod searching;
mod semantic;
mod support;
mod values;
