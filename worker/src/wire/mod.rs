//! The worker protocol as it travels: what both of its ends need.
//!
//! # Layout
//! - [`encode`], [`decode`]: what messages are made of, to and from its form on the wire
//! - [`Delivery`]: messages of a session reach the other side once and in order, whatever happens to
//!   its streams

pub mod decode;
mod delivery;
pub mod encode;

pub use delivery::{Delivery, Numbered};

/// Version of the protocol.
pub const PROTOCOL: i32 = 1;

/// Largest result, output or saved value, in bytes of JSON.
pub const MAX_VALUE_BYTES: usize = 8 * 1024 * 1024;

/// Largest message of a worker, in bytes: an output and what is saved beside it, and what stands
/// around them.
pub const MAX_REQUEST_BYTES: usize = 17 * 1024 * 1024;

/// Largest message of the service, in bytes: three values, and what stands around them.
pub const MAX_RESPONSE_BYTES: usize = 40 * 1024 * 1024;

/// Malformed says what is wrong with a message. The sentence begins with the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl Malformed {
    /// Says what is wrong with `field`.
    pub fn new(field: &str, what: impl std::fmt::Display) -> Self {
        Self(format!("`{field}` {what}"))
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}
