//! Page tokens of runs, checkpoints and threads: which one a page ended with.

use service_runtime::{ForeignToken, Listing};
use uuid::Uuid;

use crate::{
    domain::{Thread, ThreadId, Timestamp},
    store::ThreadPosition,
};

/// The id that the page before ended with; `None` for the first page.
///
/// # Errors
/// If the token is not one of this listing.
pub(super) fn uuid(listing: &Listing, token: &str) -> Result<Option<Uuid>, ForeignToken> {
    let last = listing.position(token)?;
    last.map(|last| Uuid::from_slice(&last).map_err(|_| ForeignToken))
        .transpose()
}

/// The place of the thread that the page before ended with; `None` for the first page.
///
/// # Errors
/// If the token is not one of this listing.
pub(super) fn thread(
    listing: &Listing,
    token: &str,
) -> Result<Option<ThreadPosition>, ForeignToken> {
    let last = listing.position(token)?;
    last.map(|last| thread_position(&last)).transpose()
}

/// The token of the page after the one that ends with `last`.
pub(super) fn token_of_thread(listing: &Listing, last: &Thread) -> String {
    let mut bytes = last.update_time.micros().to_le_bytes().to_vec();
    bytes.extend(last.id.as_str().as_bytes());
    listing.token(&bytes)
}

fn thread_position(bytes: &[u8]) -> Result<ThreadPosition, ForeignToken> {
    let (micros, id) = bytes.split_first_chunk().ok_or(ForeignToken)?;
    let id = std::str::from_utf8(id)
        .ok()
        .and_then(|id| ThreadId::parse(id).ok());
    Ok(ThreadPosition {
        update_time: Timestamp::from_micros(i64::from_le_bytes(*micros)),
        id: id.ok_or(ForeignToken)?,
    })
}
