//! Entrypoints that workers hosted before the service was started anew.

use weft_worker::EntrypointDescription;

use super::schema;
use crate::store::KnownEntrypoint;

/// An entrypoint as its worker described it, until a worker does so again.
pub fn recalled(known: KnownEntrypoint) -> EntrypointDescription {
    let mut described = EntrypointDescription::new(known.name, known.version);
    described.description = known.description;
    // It was one when it was remembered.
    if let Some(Ok(check)) = known.input_schema.as_deref().map(schema::check) {
        described.check_with(check);
    }
    described.input_schema = known.input_schema;
    described
}
