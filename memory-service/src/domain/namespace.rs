//! Namespaces: paths of labels, and the prefixes and patterns that select them.

use std::{borrow::Borrow, fmt};

use service_runtime::Violations;

/// Most labels of a namespace. With [`MAX_LABEL_BYTES`] it bounds what an item carries besides its
/// value to a few kilobytes.
pub const MAX_LABELS: usize = 16;

/// Longest label, in bytes of UTF-8.
pub const MAX_LABEL_BYTES: usize = 256;

/// The root label that LangGraph keeps for itself.
const RESERVED_ROOT: &str = "langgraph";

/// The label of a pattern that stands for any one label.
const WILDCARD: &str = "*";

/// A path of labels, outermost first.
///
/// Invariant: 1 to [`MAX_LABELS`] labels, each of 1 to [`MAX_LABEL_BYTES`] bytes without `.` and
/// NUL, the first one not `langgraph`. Ordered label by label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Vec<String>);

impl Namespace {
    /// Checks the labels of the request field `field`.
    ///
    /// # Errors
    /// Everything that is wrong with the labels, at once.
    pub fn try_new(field: &str, labels: Vec<String>) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        if labels.is_empty() {
            violations.push(field, "must have at least one label");
        }
        check_labels(field, &labels, &mut violations);
        check_root(field, &labels, &mut violations);
        violations.into_result(Self(labels))
    }

    /// The labels.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.0
    }

    /// The labels, owned.
    #[must_use]
    pub fn into_labels(self) -> Vec<String> {
        self.0
    }

    /// The namespaces from the outermost down to this one, in their dotted form.
    pub fn dotted_prefixes(&self) -> impl Iterator<Item = String> + '_ {
        (1..=self.0.len()).map(|depth| self.0[..depth].join("."))
    }

    /// Reads back what [`Display`](fmt::Display) wrote. No label holds a `.`, so it is exact.
    #[must_use]
    pub fn from_dotted(dotted: &str) -> Self {
        Self(dotted.split('.').map(str::to_owned).collect())
    }
}

impl Borrow<[String]> for Namespace {
    /// Namespaces are ordered as their labels are.
    fn borrow(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Namespace {
    /// The labels with dots between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Where to look: a namespace and everything below it, or everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamespacePrefix(Vec<String>);

impl NamespacePrefix {
    /// Checks the labels of the request field `field`; no labels are everything.
    ///
    /// # Errors
    /// Everything that is wrong with the labels, at once.
    pub fn try_new(field: &str, labels: Vec<String>) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        check_labels(field, &labels, &mut violations);
        check_root(field, &labels, &mut violations);
        violations.into_result(Self(labels))
    }

    /// The labels.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.0
    }

    /// Whether `namespace` is this one or below it.
    #[must_use]
    pub fn contains(&self, namespace: &Namespace) -> bool {
        namespace.0.starts_with(&self.0)
    }
}

impl fmt::Display for NamespacePrefix {
    /// The labels with dots between them; nothing for everything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Labels that a namespace must begin or end with, `*` standing for any one label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelPattern(Vec<String>);

impl LabelPattern {
    /// Checks the labels that namespaces must begin with, of the request field `field`.
    ///
    /// # Errors
    /// Everything that is wrong with the labels, at once.
    pub fn prefix(field: &str, labels: Vec<String>) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        check_labels(field, &labels, &mut violations);
        check_root(field, &labels, &mut violations);
        violations.into_result(Self(labels))
    }

    /// Checks the labels that namespaces must end with, of the request field `field`.
    ///
    /// # Errors
    /// Everything that is wrong with the labels, at once.
    pub fn suffix(field: &str, labels: Vec<String>) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        check_labels(field, &labels, &mut violations);
        violations.into_result(Self(labels))
    }

    /// Whether `labels` begin with this pattern.
    #[must_use]
    pub fn begins(&self, labels: &[String]) -> bool {
        labels
            .get(..self.0.len())
            .is_some_and(|head| self.matches(head))
    }

    /// Whether `labels` end with this pattern.
    #[must_use]
    pub fn ends(&self, labels: &[String]) -> bool {
        let start = labels.len().checked_sub(self.0.len());
        start.is_some_and(|start| self.matches(&labels[start..]))
    }

    fn matches(&self, labels: &[String]) -> bool {
        self.0
            .iter()
            .zip(labels)
            .all(|(pattern, label)| pattern == WILDCARD || pattern == label)
    }
}

fn check_labels(field: &str, labels: &[String], violations: &mut Violations) {
    if labels.len() > MAX_LABELS {
        let actual = labels.len();
        violations.push(
            field,
            format!("must have at most {MAX_LABELS} labels, not {actual}"),
        );
        return;
    }
    for (index, label) in labels.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if label.is_empty() {
            violations.push(&field, "must not be empty");
        }
        if label.len() > MAX_LABEL_BYTES {
            let actual = label.len();
            violations.push(
                &field,
                format!("must be at most {MAX_LABEL_BYTES} bytes long, not {actual}"),
            );
        }
        if label.contains('.') {
            violations.push(
                &field,
                "must not contain `.`; give each label as an element",
            );
        }
        if label.contains('\0') {
            violations.push(&field, "must not contain NUL");
        }
    }
}

fn check_root(field: &str, labels: &[String], violations: &mut Violations) {
    if labels.first().is_some_and(|root| root == RESERVED_ROOT) {
        violations.push(
            format!("{field}[0]"),
            format!("must not be `{RESERVED_ROOT}`, which is reserved"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn every_fault_of_a_namespace_is_named_at_once() {
        let bad = vec![
            "langgraph".into(),
            String::new(),
            "a.b".into(),
            "\0.".into(),
            "é".repeat(129),
        ];
        let violations = Namespace::try_new("namespace", bad).unwrap_err();
        let fields: Vec<_> = violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(
            fields,
            [
                "namespace[1]",
                "namespace[2]",
                "namespace[3]",
                "namespace[3]",
                "namespace[4]",
                "namespace[0]"
            ],
        );
        assert!(Namespace::try_new("namespace", vec![]).is_err());
        assert!(Namespace::try_new("namespace", vec!["a".into(); 17]).is_err());
    }

    #[test]
    fn unusual_labels_are_ordinary() {
        for label in ["*", "%", "/", "\n", "語", " ", "_", &"x".repeat(256)] {
            assert!(
                Namespace::try_new("namespace", vec![label.into(), "langgraph".into()]).is_ok()
            );
        }
        assert!(Namespace::try_new("namespace", vec!["a".into(); 16]).is_ok());
    }

    #[test]
    fn prefixes_match_whole_labels_only() {
        let namespace = Namespace::from_dotted("users.bob.notes");
        for (prefix, expected) in [
            ("users", true),
            ("users.bob.notes", true),
            ("user", false),
            ("users.bo", false),
        ] {
            let prefix = NamespacePrefix::try_new("p", labels(prefix)).unwrap();
            assert_eq!(prefix.contains(&namespace), expected, "{prefix}");
        }
        assert!(NamespacePrefix::default().contains(&namespace));
    }

    #[test]
    fn a_star_of_a_pattern_is_any_one_label() {
        let namespace = labels("users.bob.notes");
        for (pattern, begins, ends) in [
            ("users", true, false),
            ("*", true, true),
            ("*.bob", true, false),
            ("*.notes", false, true),
            ("users.*.notes", true, true),
            ("*.*.*.*", false, false),
        ] {
            let pattern = LabelPattern(labels(pattern));
            assert_eq!(pattern.begins(&namespace), begins, "{pattern:?}");
            assert_eq!(pattern.ends(&namespace), ends, "{pattern:?}");
        }
    }
}
