//! One thing that is wrong with a document.

use crate::Rule;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The document is refused.
    #[default]
    Error,
    /// It is accepted.
    Warning,
}

/// One thing that is wrong: where, by which rule, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The document's name.
    pub file: String,
    /// From 1; 0 when it is not about a place in a text.
    pub line: u32,
    /// From 1, in characters; 0 when it is not about a place in a text.
    pub column: u32,
    /// Where the place ends, on its first line.
    pub end_column: u32,
    /// The rule that is not kept.
    pub rule: Rule,
    /// What there is, as it was written; cut when long.
    pub found: Option<String>,
    /// The valid word that is likely meant.
    pub nearest: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Whether the document is refused for it.
    #[serde(default)]
    pub severity: Severity,
}

impl Diagnostic {
    /// An error without a place.
    pub(crate) fn new(file: &str, rule: Rule, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            end_column: 0,
            rule,
            found: None,
            nearest: None,
            help: None,
            message: printable(&message.into()),
            severity: Severity::Error,
        }
    }

    pub(crate) fn found(&mut self, found: &str) -> &mut Self {
        const SHOWN: usize = 80;
        let mut shown: String = printable(found.trim()).chars().take(SHOWN).collect();
        if shown.chars().count() == SHOWN {
            shown.push('…');
        }
        self.found = Some(shown).filter(|shown| !shown.is_empty());
        self
    }

    pub(crate) fn nearest(&mut self, nearest: Option<&str>) -> &mut Self {
        self.nearest = nearest.map(printable);
        self
    }

    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(printable(&help.into()));
        self
    }
}

/// Without what could steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// On one line: `plan.yaml:3:5: unknown-key: …`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}: {}", self.rule, self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, " (did you mean '{nearest}'?)"),
            None => Ok(()),
        }
    }
}

/// The known word that `found` is likely to mean.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = found.chars().count();
    let limit = 1 + length / 3;
    let begun = |word: &&str| length >= 3 && word.starts_with(found);
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(word) = known.iter().copied().filter(begun).min() {
        return Some(word);
    }
    known
        .into_iter()
        .filter(|word| word.len().abs_diff(found.len()) <= 3 * limit)
        .map(|word| (strsim::damerau_levenshtein(found, word), word))
        .filter(|(distance, word)| *distance <= limit && *distance < length.max(word.chars().count()))
        .min()
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["needs", "with", "tool", "timeout"];
        assert_eq!(nearest("need", known), Some("needs"));
        assert_eq!(nearest("tmieout", known), Some("timeout"));
        assert_eq!(nearest("time", known), Some("timeout"));
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest("completely", known), None);
    }

    #[test]
    fn a_terminal_is_not_steered() {
        let mut d = Diagnostic::new("f", Rule::UnknownKey, "no \u{1b}[31m");
        assert_eq!(d.message, "no \u{fffd}[31m");
        assert_eq!(d.found("\u{7}").found.as_deref(), Some("\u{fffd}"));
    }
}
