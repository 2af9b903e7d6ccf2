//! Page tokens: where a listing goes on. A token says what its page ended with, and is sealed for the
//! request it belongs to, so that no other request and no caller can make use of another.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

/// First byte of a token; changes with its form.
const VERSION: u8 = 1;
/// Bytes of the seal, HMAC-SHA256.
const SEAL_BYTES: usize = 32;

/// Listing is what page tokens are bound to: all of a request but its page.
#[derive(Debug)]
pub struct Listing {
    key: hmac::Key,
    binding: Vec<u8>,
}

impl Listing {
    /// The listing that these parts, in this order, say. `secret` is that of the store, so that
    /// tokens outlive a restart; 32 bytes make a good one.
    pub fn new<'a>(secret: &[u8], parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut binding = vec![VERSION];
        for part in parts {
            // Lengths keep the parts apart.
            binding.extend((part.len() as u64).to_le_bytes());
            binding.extend(part.bytes());
        }
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            binding,
        }
    }

    /// The token of the page after the one that ends with `last`.
    #[must_use]
    pub fn token(&self, last: &[u8]) -> String {
        let seal = hmac::sign(&self.key, &self.sealed(last));
        URL_SAFE_NO_PAD.encode([&[VERSION], seal.as_ref(), last].concat())
    }

    /// What the page before ended with; `None` for the first page.
    ///
    /// # Errors
    /// If the token was not made for this listing.
    pub fn position(&self, token: &str) -> Result<Option<Vec<u8>>, ForeignToken> {
        if token.is_empty() {
            return Ok(None);
        }
        self.open(token).map(Some).ok_or(ForeignToken)
    }

    fn open(&self, token: &str) -> Option<Vec<u8>> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let rest = token.strip_prefix(&[VERSION])?;
        let (seal, last) = rest.split_at_checked(SEAL_BYTES)?;
        hmac::verify(&self.key, &self.sealed(last), seal).ok()?;
        Some(last.to_vec())
    }

    fn sealed(&self, last: &[u8]) -> Vec<u8> {
        [&self.binding, last].concat()
    }
}

/// ForeignToken says that a page token does not belong to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a token of this listing; pass `next_page_token` back with an otherwise unchanged request"
)]
pub struct ForeignToken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_on_in_its_own_listing_only() {
        let own = Listing::new(b"s", ["a", "b"]);
        let token = own.token(b"last");
        assert_eq!(own.position(&token), Ok(Some(b"last".to_vec())));
        assert_eq!(own.position(""), Ok(None));
        for foreign in [
            Listing::new(b"s", ["a"]),
            Listing::new(b"s", ["ab"]),
            Listing::new(b"s", ["b", "a"]),
            Listing::new(b"other", ["a", "b"]),
        ] {
            assert_eq!(foreign.position(&token), Err(ForeignToken));
        }
    }

    #[test]
    fn a_changed_token_is_refused_whatever_was_changed() {
        let own = Listing::new(b"s", ["a"]);
        let token = own.token(b"last");
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(own.position(&changed), Err(ForeignToken), "byte {index}");
        }
        for broken in ["x", "====", "AQ", &token[4..], &token[..token.len() - 4]] {
            assert_eq!(own.position(broken), Err(ForeignToken), "{broken}");
        }
    }
}
