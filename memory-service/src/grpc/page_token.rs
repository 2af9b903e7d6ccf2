//! Page tokens of items: which one a page ended with.

use service_runtime::{ForeignToken, Listing, Tenant, Violations};

use crate::domain::{ItemId, Json, Key, Namespace, NamespacePrefix};

/// ItemListing is what tokens are bound to: all of a request but its page.
pub(super) struct ItemListing(Listing);

impl ItemListing {
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
        Self(Listing::new(secret, parts.iter().map(String::as_str)))
    }

    /// The token of the page after the one that ends with `last`.
    pub(super) fn token(&self, last: &ItemId) -> String {
        let position = format!("{}\0{}", last.namespace, last.key);
        self.0.token(position.as_bytes())
    }

    /// What the page before ended with; `None` for the first page.
    ///
    /// # Errors
    /// If the token was not made for this listing.
    pub(super) fn position(&self, token: &str) -> Result<Option<ItemId>, Violations> {
        let position = self.0.position(token);
        let item = position.and_then(|last| last.map(|last| item(&last)).transpose());
        item.map_err(|foreign| Violations::of("page_token", foreign.to_string()))
    }
}

fn item(position: &[u8]) -> Result<ItemId, ForeignToken> {
    let position = std::str::from_utf8(position).map_err(|_| ForeignToken)?;
    let (namespace, key) = position.split_once('\0').ok_or(ForeignToken)?;
    Ok(ItemId {
        namespace: Namespace::from_dotted(namespace),
        key: Key::stored(key.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(tenant: &str, prefix: &str, filter: Option<&str>) -> ItemListing {
        let tenant = Tenant::try_new(tenant).unwrap();
        let labels = prefix.split_terminator('.').map(str::to_owned).collect();
        let prefix = NamespacePrefix::try_new("prefix", labels).unwrap();
        let filter = filter.map(|filter| Json::parse(filter).unwrap());
        ItemListing::new(b"s", &tenant, &prefix, filter.as_ref())
    }

    #[test]
    fn a_token_leads_on_in_its_own_listing_only() {
        let last = ItemId {
            namespace: Namespace::from_dotted("a.b"),
            key: Key::stored("k\0語".to_owned()),
        };
        let own = listing("t", "a", Some(r#"{"x":1,"y":2}"#));
        let token = own.token(&last);
        assert_eq!(own.position(&token).unwrap(), Some(last.clone()));
        assert_eq!(own.position("").unwrap(), None);
        let same = listing("t", "a", Some(r#"{ "y":2,"x":1}"#));
        assert_eq!(same.position(&token).unwrap(), Some(last));
        for foreign in [
            listing("t", "a", None),
            listing("t", "a", Some(r#"{"x":1}"#)),
            listing("t", "a.b", Some(r#"{"x":1,"y":2}"#)),
            listing("u", "a", Some(r#"{"x":1,"y":2}"#)),
        ] {
            assert!(foreign.position(&token).is_err());
        }
    }
}
