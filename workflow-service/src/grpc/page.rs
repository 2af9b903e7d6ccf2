//! Page tokens: where a listing goes on, bound to the listing it belongs to.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// First byte of a token; changes with its form.
const VERSION: u8 = 1;
/// Bytes of a listing's hash that a token carries: enough to tell one listing from another by
/// mistake. A token grants nothing, so that forging one gains nothing.
const BINDING_BYTES: usize = 8;

/// Listing is what a page token is bound to: all of a request but its page.
#[derive(Debug)]
pub(super) struct Listing([u8; BINDING_BYTES]);

impl Listing {
    /// The listing that these parts, in this order, say.
    pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        let mut binding = [0; BINDING_BYTES];
        for (to, from) in binding.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Self(binding)
    }

    /// The token of the page after the one that ends with `last`.
    pub(super) fn token(&self, last: &[u8]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.0);
        bytes.extend(last);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What the page before ended with; `None` for the first page.
    ///
    /// # Errors
    /// If the token is not one of this listing.
    pub(super) fn position(&self, token: &str) -> Result<Option<Vec<u8>>, ForeignToken> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| ForeignToken)?;
        let rest = bytes.strip_prefix(&[VERSION]).ok_or(ForeignToken)?;
        let last = rest.strip_prefix(&self.0).ok_or(ForeignToken)?;
        Ok(Some(last.to_vec()))
    }

    /// The id that the page before ended with; `None` for the first page.
    ///
    /// # Errors
    /// If the token is not one of this listing.
    pub(super) fn uuid(&self, token: &str) -> Result<Option<Uuid>, ForeignToken> {
        let last = self.position(token)?;
        last.map(|last| Uuid::from_slice(&last).map_err(|_| ForeignToken))
            .transpose()
    }
}

/// ForeignToken says that a page token does not belong to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a token of this listing; pass `next_page_token` back with an otherwise unchanged request"
)]
pub(super) struct ForeignToken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_on_in_its_own_listing_only() {
        let (listing, last) = (Listing::of(["a", "b"]), Uuid::now_v7());
        let token = listing.token(last.as_bytes());
        assert_eq!(listing.uuid(&token), Ok(Some(last)));
        assert_eq!(listing.uuid(""), Ok(None));
        for foreign in [
            Listing::of(["a"]),
            Listing::of(["ab"]),
            Listing::of(["b", "a"]),
        ] {
            assert_eq!(foreign.uuid(&token), Err(ForeignToken));
        }
        for broken in ["x", "====", &token[1..], &token[..token.len() - 1]] {
            assert_eq!(listing.uuid(broken), Err(ForeignToken), "{broken}");
        }
    }
}
