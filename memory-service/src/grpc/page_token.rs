//! Page tokens: where a listing goes on. A token says which item its page ended with, and is sealed
//! for the request it belongs to, so that no other request and no caller can make use of another.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use service_runtime::{Tenant, Violations};

use crate::domain::{ItemId, Json, Key, Namespace, NamespacePrefix};

/// First byte of a token; changes with its form.
const VERSION: u8 = 1;

/// Bytes of the seal, HMAC-SHA256.
const SEAL_BYTES: usize = 32;

/// What tokens are bound to: all of a request but its page.
pub(super) struct Listing {
    key: hmac::Key,
    binding: Vec<u8>,
}

impl Listing {
    /// The listing of this request.
    pub(super) fn new(
        secret: &[u8],
        tenant: &Tenant,
        prefix: &NamespacePrefix,
        filter: Option<&Json>,
    ) -> Self {
        let mut parts = vec![tenant.to_string(), prefix.to_string()];
        parts.extend(filter.map(|filter| {
            let mut text = String::new();
            filter.write_sorted(&mut text);
            text
        }));
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
    pub(super) fn token(&self, last: &ItemId) -> String {
        let position = format!("{}\0{}", last.namespace, last.key);
        let seal = hmac::sign(&self.key, &self.sealed(&position));
        let token = [&[VERSION], seal.as_ref(), position.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode(token)
    }

    /// What the page before ended with; `None` for the first page.
    ///
    /// # Errors
    /// If the token was not made for this listing.
    pub(super) fn position(&self, token: &str) -> Result<Option<ItemId>, Violations> {
        if token.is_empty() {
            return Ok(None);
        }
        let item = self.open(token).ok_or_else(|| {
            let description = "is not a token of this listing; pass `next_page_token` back with an otherwise unchanged request";
            Violations::of("page_token", description)
        })?;
        Ok(Some(item))
    }

    fn open(&self, token: &str) -> Option<ItemId> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let rest = token.strip_prefix(&[VERSION])?;
        let (seal, position) = rest.split_at_checked(SEAL_BYTES)?;
        let position = std::str::from_utf8(position).ok()?;
        hmac::verify(&self.key, &self.sealed(position), seal).ok()?;
        let (namespace, key) = position.split_once('\0')?;
        Some(ItemId {
            namespace: Namespace::from_dotted(namespace),
            key: Key::stored(key.to_owned()),
        })
    }

    fn sealed(&self, position: &str) -> Vec<u8> {
        [&self.binding, position.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(secret: &[u8], tenant: &str, prefix: &str, filter: Option<&str>) -> Listing {
        let tenant = Tenant::try_new(tenant).unwrap();
        let labels = prefix.split_terminator('.').map(str::to_owned).collect();
        let prefix = NamespacePrefix::try_new("prefix", labels).unwrap();
        let filter = filter.map(|filter| Json::parse(filter).unwrap());
        Listing::new(secret, &tenant, &prefix, filter.as_ref())
    }

    fn last() -> ItemId {
        ItemId {
            namespace: Namespace::from_dotted("a.b"),
            key: Key::stored("k\0語".to_owned()),
        }
    }

    #[test]
    fn a_token_leads_on_in_its_own_listing_only() {
        let own = listing(b"s", "t", "a", Some(r#"{"x":1,"y":2}"#));
        let token = own.token(&last());
        assert_eq!(own.position(&token).unwrap(), Some(last()));
        assert_eq!(own.position("").unwrap(), None);
        let same = listing(b"s", "t", "a", Some(r#"{ "y":2,"x":1}"#));
        assert_eq!(same.position(&token).unwrap(), Some(last()));
        for foreign in [
            listing(b"s", "t", "a", None),
            listing(b"s", "t", "a", Some(r#"{"x":1}"#)),
            listing(b"s", "t", "a.b", Some(r#"{"x":1,"y":2}"#)),
            listing(b"s", "u", "a", Some(r#"{"x":1,"y":2}"#)),
            listing(b"other", "t", "a", Some(r#"{"x":1,"y":2}"#)),
        ] {
            assert!(foreign.position(&token).is_err());
        }
    }

    #[test]
    fn a_changed_token_is_refused_whatever_was_changed() {
        let own = listing(b"s", "t", "", None);
        let token = own.token(&last());
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert!(own.position(&URL_SAFE_NO_PAD.encode(changed)).is_err());
        }
        for broken in ["x", "====", "AQ", &token[4..], &token[..token.len() - 4]] {
            assert!(own.position(broken).is_err(), "{broken}");
        }
    }
}
