//! The order of versions.

use std::{cmp::Ordering, sync::Arc};

/// Version of an entrypoint, ordered as people count: 9 before 10, 1.2 before 1.10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version(pub(super) Arc<str>);

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut these, mut others) = (parts(&self.0), parts(&other.0));
        loop {
            let order = match (these.next(), others.next()) {
                (None, None) => return self.0.cmp(&other.0),
                (this, other) => this.cmp(&other),
            };
            if order.is_ne() {
                return order;
            }
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A number as its digits without leading zeros, or the text between numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Number(usize, &'a str),
    Text(&'a str),
}

fn parts(mut text: &str) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        let is_number = text.chars().next()?.is_ascii_digit();
        let end = text
            .find(|letter: char| letter.is_ascii_digit() != is_number)
            .unwrap_or(text.len());
        let (part, rest) = text.split_at(end);
        text = rest;
        Some(if is_number {
            let digits = part.trim_start_matches('0');
            Part::Number(digits.len(), digits)
        } else {
            Part::Text(part)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_people_count() {
        let ordered = [
            "",
            "1",
            "2",
            "10",
            "010",
            "2026.9.30",
            "2026.10.1",
            "v1",
            "v1.2",
            "v1.10",
            "v1.10-b",
        ];
        let mut sorted: Vec<_> = ordered.iter().map(|&text| Version(text.into())).collect();
        sorted.sort();
        let texts: Vec<_> = sorted.iter().map(|version| &*version.0).collect();
        assert_eq!(
            texts,
            [
                "",
                "1",
                "2",
                "010",
                "10",
                "2026.9.30",
                "2026.10.1",
                "v1",
                "v1.2",
                "v1.10",
                "v1.10-b"
            ]
        );
    }
}
