//! Shows diagnostics to a person, with the lines that they are about.

use crate::source::{Lines, Source};
use crate::{Diagnostic, Severity};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Lines shown around a place.
const AROUND: u32 = 1;

/// All diagnostics as text, each with its line of `source` and a mark under the place; `color` with
/// the escape sequences of a terminal.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], source: &Source, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let lines = Lines::new(&source.text);
    let shown = diagnostics.iter().map(|d| renderer.render(&[group(d, source, &lines)]));
    shown.collect::<Vec<_>>().join("\n\n")
}

fn group<'a>(d: &'a Diagnostic, source: &'a Source, lines: &Lines<'a>) -> Group<'a> {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(d.message.as_str()).id(d.rule.as_str());
    let mut group = Group::with_title(title);
    if d.line > 0 && d.file == source.name {
        let first = d.line.saturating_sub(AROUND).max(1);
        let (base, text) = lines.slice(first, d.line + AROUND);
        let (start, end) = (lines.offset(d.line, d.column), lines.offset(d.line, d.end_column));
        let place = start.saturating_sub(base).min(text.len())..end.saturating_sub(base).min(text.len());
        let label = d.nearest.as_ref().map(|nearest| format!("did you mean '{nearest}'?"));
        group = group.element(
            Snippet::source(text)
                .line_start(first as usize)
                .path(d.file.as_str())
                .fold(false)
                .annotation(AnnotationKind::Primary.span(place).label(label)),
        );
    } else if let Some(nearest) = &d.nearest {
        group = group.element(Level::NOTE.message(format!("did you mean '{nearest}'?")));
    }
    match &d.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}
