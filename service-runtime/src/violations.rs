//! Everything that is wrong with a request, gathered before it is refused.

use std::fmt;

/// One field of a request and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field as in the `.proto` file, e.g. `operations[2].put.key`.
    pub field: String,
    /// What must hold, and how to get there: `must not be empty`.
    pub description: String,
}

/// All field violations of one request, in the order in which they were found.
///
/// Plain data: domain code fills it, the gRPC edge turns it into `BadRequest`
/// details ([`StatusBuilder::violations`](crate::StatusBuilder::violations)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<FieldViolation>);

impl Violations {
    /// A single violation.
    #[must_use]
    pub fn of(field: impl Into<String>, description: impl Into<String>) -> Self {
        let mut violations = Self::default();
        violations.push(field, description);
        violations
    }

    /// Adds one violation.
    pub fn push(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(FieldViolation {
            field: field.into(),
            description: description.into(),
        });
    }

    /// Adds all of `others`.
    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many violations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The violations in order.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldViolation> {
        self.0.iter()
    }

    /// `value` if nothing is wrong.
    ///
    /// # Errors
    /// The violations themselves, if there are any.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    /// The same violations, of fields inside of the field `prefix`.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        for FieldViolation { field, .. } in &mut self.0 {
            let separator = if field.is_empty() || field.starts_with('[') {
                ""
            } else {
                "."
            };
            *field = format!("{prefix}{separator}{field}");
        }
        self
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a FieldViolation;
    type IntoIter = std::slice::Iter<'a, FieldViolation>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldViolation { field, description }) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}`{field}` {description}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_violations_are_told_at_once() {
        let mut violations = Violations::of("namespace", "must not be empty");
        violations.append(Violations::of("limit", "must not be negative"));
        assert_eq!(
            violations.to_string(),
            "`namespace` must not be empty; `limit` must not be negative"
        );
        assert_eq!(violations.clone().into_result(1), Err(violations));
        assert_eq!(Violations::default().into_result(1), Ok(1));
    }

    #[test]
    fn a_prefix_makes_paths_of_nested_fields() {
        let mut violations = Violations::of("key", "x");
        violations.push("[3]", "x");
        violations.push("", "x");
        let prefixed = violations.prefixed("item");
        let fields: Vec<_> = prefixed
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(fields, ["item.key", "item[3]", "item"]);
    }
}
