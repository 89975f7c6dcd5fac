//! Collects what is wrong with one document.

use crate::Rule;
use crate::diagnostic::{Diagnostic, Severity};
use crate::limits::DIAGNOSTICS;
use crate::source::{Lines, Source, Span};

/// What is wrong with one document, so far.
#[derive(Debug)]
pub(crate) struct Report<'s> {
    source: &'s Source,
    lines: Lines<'s>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    /// Errors beyond the limit, which are only counted.
    more: usize,
    /// Takes the words about an error that is not kept.
    discarded: Diagnostic,
}

impl<'s> Report<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        Self {
            source,
            lines: Lines::new(&source.text),
            errors: Vec::new(),
            warnings: Vec::new(),
            more: 0,
            discarded: Diagnostic::new("", Rule::Other, ""),
        }
    }

    /// The text of a place.
    pub(crate) fn text(&self, span: Span) -> &'s str {
        self.source.text.get(span.range()).unwrap_or_default()
    }

    /// Notes an error; the words about it can be added to what comes back.
    pub(crate) fn error(&mut self, span: Span, rule: Rule, message: impl Into<String>) -> &mut Diagnostic {
        if self.is_full() {
            self.more += 1;
            return &mut self.discarded;
        }
        let diagnostic = self.place(span, rule, message.into());
        self.errors.push(diagnostic);
        self.errors.last_mut().expect("one was pushed")
    }

    /// Notes what does not keep the document from being used.
    pub(crate) fn warning(&mut self, span: Span, rule: Rule, message: impl Into<String>) -> &mut Diagnostic {
        if self.warnings.len() >= DIAGNOSTICS {
            return &mut self.discarded;
        }
        let mut diagnostic = self.place(span, rule, message.into());
        diagnostic.severity = Severity::Warning;
        self.warnings.push(diagnostic);
        self.warnings.last_mut().expect("one was pushed")
    }

    /// Further errors are only counted: what is costly about them need not be worked out.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= DIAGNOSTICS
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The warnings, or the errors in the order of the text.
    pub(crate) fn finish(mut self) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let order = |d: &Diagnostic| (d.line, d.column, d.rule);
        self.warnings.sort_by_key(order);
        if self.errors.is_empty() {
            return Ok(self.warnings);
        }
        self.errors.sort_by_key(order);
        if self.more > 0 {
            let message = format!("there are {} more errors", self.more);
            self.errors.push(Diagnostic::new(&self.source.name, Rule::Limit, message));
        }
        Err(self.errors)
    }

    fn place(&self, span: Span, rule: Rule, message: String) -> Diagnostic {
        let first_line = self.text(span).split(['\n', '\r']).next().unwrap_or_default().trim_end();
        let mut diagnostic = Diagnostic::new(&self.source.name, rule, message);
        (diagnostic.line, diagnostic.column) = self.lines.position(span.start);
        diagnostic.end_column = diagnostic.column + crate::source::number(first_line.chars().count().max(1));
        diagnostic
    }
}
