//! What both services need around their own work: configuration, telemetry, listeners, gRPC
//! layers, health, reflection, drain, error details and client channels. It knows nothing of
//! memory or workflows: what enters here is used by both services and says nothing of either.
//!
//! # Layout
//! - [`run()`]: from the command line to the end of the process
//! - `allocator`: that of both processes
//! - [`args`]: the flags of both binaries
//! - [`config`]: flags over environment over file over defaults
//! - [`telemetry`]: logs on stderr
//! - [`metrics`]: the Prometheus recorder
//! - [`listing`]: page tokens
//! - [`listener`]: the gRPC and the admin socket, bound first
//! - [`server`]: serving, and draining
//! - `layer`: what every call goes through
//! - `methods`: what can be called
//! - `connection`: accepted connections that can be cut
//! - [`readiness`], `health`, `admin`: telling others how the service is
//! - [`context`]: principal, tenant, deadline and id of a call
//! - [`violations`]: everything wrong with a request, gathered
//! - [`status`]: errors as callers see them
//! - [`payload`]: JSON values on the wire and as exact text
//! - [`client`]: channels to other services

mod admin;
mod allocator;
pub mod args;
pub mod client;
pub mod config;
mod connection;
pub mod context;
mod health;
mod layer;
pub mod listener;
pub mod listing;
mod methods;
pub mod metrics;
pub mod payload;
pub mod readiness;
pub mod run;
pub mod server;
pub mod status;
pub mod telemetry;
pub mod violations;

pub use args::CommonArgs;
pub use client::{ChannelError, ChannelSettings};
pub use config::{ConfigError, Environment, Secret, split_list};
pub use context::{Deadline, InvalidTenant, Principal, RequestContext, Tenant};
pub use listener::{BindError, Listeners};
pub use listing::{ForeignToken, Listing};
pub use payload::{PayloadError, PayloadLimits};
pub use readiness::Readiness;
pub use run::{BoxError, Job, Service, run};
pub use server::{ServeError, Server, ServerSettings};
pub use status::StatusBuilder;
pub use violations::{FieldViolation, Violations};
