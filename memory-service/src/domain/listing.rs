//! Listing of namespaces: which, cut how deep, and how many items they hold.

use std::collections::BTreeMap;

use super::namespace::{LabelPattern, Namespace};

/// Which namespaces to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceQuery {
    /// What they begin with.
    pub prefix: LabelPattern,
    /// What they end with.
    pub suffix: LabelPattern,
    /// Cut them to this many labels, at least 1; `None` for whole ones.
    pub max_depth: Option<usize>,
    /// Skip this many.
    pub offset: usize,
    /// Return at most this many.
    pub limit: usize,
}

/// A namespace, possibly cut, and the items in it (and below it, if cut).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceCount {
    /// The labels.
    pub labels: Vec<String>,
    /// How many items there are; never 0.
    pub items: u64,
}

impl NamespaceQuery {
    /// Whether a namespace begins and ends as asked for.
    #[must_use]
    pub fn selects(&self, namespace: &Namespace) -> bool {
        self.prefix.begins(namespace.labels()) && self.suffix.ends(namespace.labels())
    }

    /// Answers the query from all namespaces of a tenant and their items: selects, cuts, folds what
    /// is then equal, sorts, and only then pages.
    pub fn answer<'a>(
        &self,
        namespaces: impl Iterator<Item = (&'a Namespace, u64)>,
    ) -> Vec<NamespaceCount> {
        let mut folded: BTreeMap<&[String], u64> = BTreeMap::new();
        for (namespace, items) in namespaces {
            let labels = namespace.labels();
            if items > 0 && self.selects(namespace) {
                let depth = self.max_depth.unwrap_or(labels.len()).min(labels.len());
                *folded.entry(&labels[..depth]).or_default() += items;
            }
        }
        let page = folded.into_iter().skip(self.offset).take(self.limit);
        page.map(|(labels, items)| NamespaceCount {
            labels: labels.to_vec(),
            items,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(query: &NamespaceQuery) -> Vec<String> {
        let namespaces: Vec<_> = [
            ("users.bob", 2),
            ("users.alice.notes", 1),
            ("users.bob.notes", 3),
            ("emptied", 0),
            ("shared.notes", 4),
        ]
        .map(|(dotted, items)| (Namespace::from_dotted(dotted), items))
        .into();
        let counts = query.answer(
            namespaces
                .iter()
                .map(|(namespace, items)| (namespace, *items)),
        );
        counts
            .into_iter()
            .map(|count| format!("{}={}", count.labels.join("."), count.items))
            .collect()
    }

    fn labels(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn namespaces_come_in_label_order_with_their_counts() {
        let all = NamespaceQuery {
            limit: 10,
            ..NamespaceQuery::default()
        };
        assert_eq!(
            answer(&all),
            [
                "shared.notes=4",
                "users.alice.notes=1",
                "users.bob=2",
                "users.bob.notes=3"
            ],
        );
        let page = NamespaceQuery {
            offset: 1,
            limit: 2,
            ..all
        };
        assert_eq!(answer(&page), ["users.alice.notes=1", "users.bob=2"]);
    }

    #[test]
    fn cut_namespaces_are_folded_before_they_are_paged() {
        let cut = NamespaceQuery {
            max_depth: Some(2),
            limit: 10,
            ..NamespaceQuery::default()
        };
        assert_eq!(
            answer(&cut),
            ["shared.notes=4", "users.alice=1", "users.bob=5"]
        );
        let page = NamespaceQuery {
            max_depth: Some(1),
            offset: 1,
            limit: 1,
            ..cut
        };
        assert_eq!(answer(&page), ["users=6"]);
    }

    #[test]
    fn prefix_and_suffix_must_both_match() {
        let query = NamespaceQuery {
            prefix: LabelPattern::prefix("prefix", labels("users.*")).unwrap(),
            suffix: LabelPattern::suffix("suffix", labels("notes")).unwrap(),
            limit: 10,
            ..NamespaceQuery::default()
        };
        assert_eq!(answer(&query), ["users.alice.notes=1", "users.bob.notes=3"]);
    }
}
