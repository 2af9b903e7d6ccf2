//! Both services as a user gets them: real binaries, started by `make run`, `make demo` and the
//! end-to-end tests, reached over gRPC and the command line, ended by signals. Nothing here looks
//! into a service: what cannot be seen from outside is not a promise.
//!
//! The binaries are not built from here; `make` and CI build them first.
//!
//! # Layout
//! - [`wait`]: every wait has a bound
//! - [`binary`]: where the executables are
//! - [`port`]: ports that stay ours while a service is down
//! - [`launch`]: how services are started
//! - [`process`]: one running service, from its first line to its exit
//! - [`health`]: waiting for a service to be ready
//! - [`http`]: the admin addresses
//! - [`cluster`]: both services wired together, with a data folder that outlives them
//! - [`gate`]: a proxy before memory-service that counts calls and holds them back
//! - [`provider`], [`aimock`]: doubles of providers of models
//! - [`worker`]: workers as processes
//! - [`raw_worker`]: a worker that can say anything
//! - [`cable`]: a connection that can be cut without either side being told
//! - [`effects`]: what random programs do outside of their processes
//! - [`payload`]: JSON in and out of the API
//! - [`memories`]: what memory holds
//! - [`conversation`]: what is said to `chat`, and the reference conversation
//! - [`events`]: the events of a run, as a stream with bounded waits
//! - [`runs`]: runs, from their start to their rest
//! - [`corpus`]: what an agent remembers, and questions with known answers
//! - [`partner`]: what tests need that is no part of this workspace
//! - [`refusal`]: what a call was refused with
//! - [`grpcurl`]: the command line client
//! - `bin/run.rs`, `bin/demo.rs`, `bin/figures.rs`: `make run`, `make demo`, `make figures`
//! - `bin/corpus.rs`: prints the corpus
//! - `bin/example-worker.rs`: a worker, for the tests and for those who write one
//! - `bin/program-worker.rs`: a worker that executes random programs; `kills/`: the tests that kill it,
//!   and its service
//! - `power/`: what a loss of power leaves of workflow-service's store
//! - `worker-conformance/`: tells whether any worker speaks the protocol; `bin/conformance-worker.rs`
//!   is the one in Rust that it checks
//! - `e2e/`, `models/`, `workers/`: the tests of both services, of language models and of workers, a
//!   file per topic

pub mod aimock;
pub mod binary;
pub mod cable;
pub mod cluster;
pub mod conversation;
pub mod corpus;
pub mod effects;
pub mod events;
pub mod gate;
pub mod grpcurl;
pub mod health;
pub mod http;
pub mod launch;
pub mod memories;
pub mod partner;
pub mod payload;
pub mod port;
pub mod process;
pub mod provider;
pub mod raw_worker;
pub mod refusal;
pub mod runs;
pub mod wait;
pub mod worker;

pub use cluster::Cluster;
pub use conversation::chat;
pub use events::Events;
pub use launch::Launch;
pub use process::Process;
pub use refusal::Refusal;
pub use wait::{PATIENCE, within};
pub use worker::WorkerProcess;
