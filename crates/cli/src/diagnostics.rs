//! Faults of a document, each with the line in which it stands.

use aidt_client::{Diagnostic, PlanSource};
use aidt_plan::Source;

/// All of them as text; with `source`, the lines that they are about are quoted.
pub(crate) fn render(diagnostics: &[Diagnostic], source: Option<&PlanSource>, colors: bool) -> String {
    let source = source.map_or_else(
        || Source { name: String::new(), text: String::new() },
        |source| Source { name: source.name.clone(), text: source.text.clone() },
    );
    let shown: Vec<String> = diagnostics
        .iter()
        .map(|diagnostic| match of_plan(diagnostic) {
            Some(known) => aidt_plan::render(&[known], &source, colors),
            None => one_line(diagnostic),
        })
        .collect();
    shown.join("\n\n")
}

/// The same, from the crate that made it; `None` if a server of another version says it otherwise.
fn of_plan(diagnostic: &Diagnostic) -> Option<aidt_plan::Diagnostic> {
    serde_json::from_value(serde_json::to_value(diagnostic).ok()?).ok()
}

/// The same, as it goes over the wire.
pub(crate) fn of_local(diagnostic: &aidt_plan::Diagnostic) -> Diagnostic {
    let value = serde_json::to_value(diagnostic).expect("a diagnostic has string keys");
    serde_json::from_value(value).expect("both sides of the API have the same form")
}

fn one_line(diagnostic: &Diagnostic) -> String {
    let Diagnostic { file, line, column, rule, .. } = diagnostic;
    let message = diagnostic.message.as_deref().or(diagnostic.help.as_deref()).unwrap_or("this is not valid");
    crate::terminal::visible(&format!("{file}:{line}:{column}: {rule}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quotes_the_line_and_marks_the_place() {
        let diagnostic: Diagnostic = serde_json::from_value(json!({
            "file": "plan.yaml", "line": 3, "column": 11, "end_column": 18, "rule": "unknown-tool", "found": "git.lgo",
            "nearest": "git.log", "help": "`aidt tools ls` lists the tools", "message": "there is no tool git.lgo",
        }))
        .unwrap();
        let text = "steps:\n  - id: a\n    tool: git.lgo\n".to_owned();
        let source = PlanSource { name: "plan.yaml".into(), text };
        let shown = render(&[diagnostic], Some(&source), false);
        for part in
            ["there is no tool git.lgo", "plan.yaml:3:11", "tool: git.lgo", "^^^^^^^", "did you mean 'git.log'?"]
        {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
    }

    #[test]
    fn what_another_version_says_is_shown_all_the_same() {
        let diagnostic: Diagnostic =
            serde_json::from_value(json!({ "file": "p", "line": 30, "column": 1, "rule": "r", "help": "mend it" }))
                .unwrap();
        assert_eq!(render(&[diagnostic], None, false), "p:30:1: r: mend it");
    }
}
