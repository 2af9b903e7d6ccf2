//! The entrypoints that come with the service, one file each.

pub mod arguments;
pub mod chat;
