//! All spans and metrics, as they are documented. `docs/reference/telemetry.md` holds these tables; a test
//! compares them.

mod metrics;
mod spans;

pub use metrics::{Kind, METRICS, Metric};
pub use spans::{SPANS, SpanOf};
use std::fmt::Write as _;

/// The tables of the page, as Markdown.
#[must_use]
pub fn tables() -> String {
    let mut page = String::from("| span | kind | scope | under | attributes |\n|---|---|---|---|---|\n");
    for s in SPANS {
        let (name, attributes) = (s.name, code(s.attributes));
        let _ = writeln!(page, "| `{name}` | {} | {} | {} | {attributes} |", s.kind, s.scope, s.parent);
    }
    page.push_str("\n| metric | kind | unit | attributes | what it says |\n|---|---|---|---|---|\n");
    for m in METRICS {
        let (name, attributes) = (m.name, code(m.attributes));
        let _ = writeln!(page, "| `{name}` | {} | `{}` | {attributes} | {} |", m.kind.word(), m.unit, m.says);
    }
    page
}

fn code(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_these_tables() {
        let page = include_str!("../../../../docs/reference/telemetry.md");
        for table in tables().split("\n\n") {
            assert!(page.contains(table.trim()), "docs/reference/telemetry.md should have\n\n{table}");
        }
    }
}
