//! What both services need around their own work: configuration, telemetry, listeners, gRPC
//! layers, health, reflection, drain, error details and client channels. It knows nothing of
//! memory or workflows: what enters here is used by both services and says nothing of either.
//!
//! # Layout
//! - [`args`]: the flags of both binaries
//! - [`config`]: flags over environment over file over defaults
//! - [`listener`]: the gRPC and the admin socket, bound first
//! - [`context`]: principal, tenant, deadline and id of a call
//! - [`violations`]: everything wrong with a request, gathered
//! - [`status`]: errors as callers see them
//! - [`payload`]: JSON values on the wire and as exact text

pub mod args;
pub mod config;
pub mod context;
pub mod listener;
pub mod payload;
pub mod status;
pub mod violations;

pub use args::CommonArgs;
pub use config::{ConfigError, Environment};
pub use context::{Deadline, InvalidTenant, Principal, RequestContext, Tenant};
pub use listener::{BindError, Listeners};
pub use payload::{PayloadError, PayloadLimits};
pub use status::StatusBuilder;
pub use violations::{FieldViolation, Violations};
