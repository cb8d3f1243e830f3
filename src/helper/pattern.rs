//! Patterns for cgroup paths and device names: `*` and `?` within a part, `**` across parts.

use glob::{MatchOptions, Pattern};

/// A list of patterns; nothing matches an empty one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Patterns(Vec<Pattern>);

/// A `*` never crosses a `/`, so that a rule for containers does not cover what is below them.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Patterns {
    /// Reads patterns.
    ///
    /// # Errors
    /// What is wrong with each that is none.
    pub fn new(texts: &[String]) -> Result<Self, Vec<String>> {
        let (mut patterns, mut faults) = (Vec::new(), Vec::new());
        for text in texts {
            match Pattern::new(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(e) => faults.push(format!("{text:?}: {}", e.msg)),
            }
        }
        if faults.is_empty() { Ok(Self(patterns)) } else { Err(faults) }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them matches all of `text`.
    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches_with(text, OPTIONS))
    }
}
