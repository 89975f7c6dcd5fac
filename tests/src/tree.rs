//! The spans of one trace, and how they must stand to each other.

use crate::SeenSpan;

/// A trace, and the broker that it went through.
pub(crate) struct Tree<'a> {
    pub(crate) spans: &'a [SeenSpan],
    /// What its broker is called.
    pub(crate) broker: &'static str,
}

impl Tree<'_> {
    /// The one span of this name, of a step if one is given.
    pub(crate) fn one(&self, name: &str, step: Option<&str>) -> &SeenSpan {
        let of = |span: &&SeenSpan| {
            let path = span.attributes.get("aidt.step.path").map(String::as_str);
            span.name == name && (step.is_none() || path == step)
        };
        let found: Vec<&SeenSpan> = self.spans.iter().filter(of).collect();
        assert_eq!(found.len(), 1, "{name} of {step:?}: {found:#?} among {:#?}", self.names());
        found[0]
    }

    /// The span of a step whose name begins so.
    pub(crate) fn of_step(&self, begins: &str, step: &str) -> &SeenSpan {
        let of = |s: &&SeenSpan| s.name.starts_with(begins) && s.attributes["aidt.step.path"] == step;
        self.spans.iter().find(of).unwrap_or_else(|| panic!("no {begins} of {step}: {:#?}", self.names()))
    }

    pub(crate) fn names(&self) -> Vec<(&str, Option<&String>)> {
        self.spans.iter().map(|span| (span.name.as_str(), span.attributes.get("aidt.step.path"))).collect()
    }
}

pub(crate) fn under(child: &SeenSpan, parent: &SeenSpan) {
    assert_eq!((&child.trace, &child.parent), (&parent.trace, &parent.id), "{child:#?} is not under {parent:#?}");
    assert!(child.start >= parent.start, "{} began before {}", child.name, parent.name);
}

pub(crate) fn linked(span: &SeenSpan, to: &SeenSpan) {
    assert!(span.links.contains(&(to.trace.clone(), to.id.clone())), "{span:#?} is not linked to {to:#?}");
}

pub(crate) fn has(span: &SeenSpan, wanted: &[(&str, &str)]) {
    for (key, value) in wanted {
        assert_eq!(span.attributes.get(*key).map(String::as_str), Some(*value), "{key} of {span:#?}");
    }
}

/// Its spans, under what it followed from. Answers the span that recorded its end.
pub(crate) fn a_step_is_traced<'a>(
    tree: &'a Tree<'_>,
    before: &SeenSpan,
    run: &str,
    step: &str,
    tool: &str,
) -> &'a SeenSpan {
    let of = [("aidt.run.id", run), ("aidt.step.path", step)];
    let decide = tree.of_step("decide ", step);
    // Its window may have been full, or its worker not known yet, when the command before was applied.
    let place = tree.spans.iter().find(|s| s.id == decide.parent && s.name == "admit");
    if let Some(admit) = place {
        under(admit, tree.one("submit start", None));
        has(admit, &[("aidt.run.id", run)]);
    }
    let place = place.unwrap_or(before);
    under(decide, place);
    has(decide, &of);
    has(decide, &[("aidt.verdict", "allow")]);
    assert!(decide.attributes["aidt.decision.id"].starts_with("dec_"));
    assert!(decide.attributes.contains_key("aidt.policy.revision"));

    let process = tree.of_step("process ", step);
    let pool = process.attributes["aidt.pool"].clone();
    let publish = tree.one(&format!("publish {pool}"), Some(step));
    under(publish, place);
    under(process, publish);
    linked(process, publish);
    assert_eq!((publish.kind, process.kind), ("producer", "consumer"));
    let destination = format!("steps.{pool}");
    for (span, operation) in [(publish, "send"), (process, "process")] {
        has(span, &of);
        has(span, &[("aidt.dispatch", "1"), ("aidt.attempt", "1"), ("aidt.project", "default"), ("aidt.tool", tool)]);
        has(span, &[("messaging.system", tree.broker), ("messaging.destination.name", &destination)]);
        has(span, &[("messaging.operation.type", operation)]);
    }
    let call = tree.one(&format!("call {tool}"), Some(step));
    under(call, process);
    let execute = tree.one(&format!("execute {tool}"), Some(step));
    under(execute, call);
    assert_eq!((call.kind, execute.kind, execute.scope.as_str()), ("client", "server", "aidt-tool-worker"));
    has(execute, &of);
    let report = tree.one("publish finished", Some(step));
    under(report, process);
    has(report, &[("messaging.system", tree.broker), ("messaging.destination.name", "commands")]);
    let finished = tree.one("apply finished", Some(step));
    under(finished, report);
    linked(finished, report);
    finished
}
