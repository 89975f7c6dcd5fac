//! The spans.

/// A span, as documented.
#[derive(Clone, Copy, Debug)]
pub struct SpanOf {
    /// Its name; what is in angle brackets varies.
    pub name: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Who makes it.
    pub scope: &'static str,
    /// What it stands under.
    pub parent: &'static str,
    /// Its attributes.
    pub attributes: &'static [&'static str],
}

const fn span(
    name: &'static str,
    kind: &'static str,
    scope: &'static str,
    parent: &'static str,
    attributes: &'static [&'static str],
) -> SpanOf {
    SpanOf { name, kind, scope, parent, attributes }
}

/// Every span, in the order in which a run makes them.
pub const SPANS: &[SpanOf] = &[
    span(
        "<method> <route>",
        "server",
        "aidt-gateway",
        "the client's, by its `traceparent`; none for `/health`, `/ready` and `/metrics`",
        &["http.request.method", "http.route", "url.path", "http.response.status_code", "error.type"],
    ),
    span(
        "submit <command>",
        "producer",
        "aidt-gateway",
        "the request",
        &["aidt.run.id", "aidt.project", "aidt.command"],
    ),
    span(
        "apply <command>",
        "consumer",
        "aidt-completion-consumer",
        "whoever sent the command; for a timer the run's",
        &["aidt.run.id", "aidt.project", "aidt.command", "aidt.step.path", "aidt.dispatch", "error.type"],
    ),
    span(
        "admit",
        "internal",
        "aidt-completion-consumer",
        "the run's latest; it lets steps in from the backlog",
        &["aidt.run.id", "aidt.project", "error.type"],
    ),
    span(
        "decide <capability>",
        "internal",
        "aidt-completion-consumer, aidt-step-consumer",
        "`apply` or `admit`; `process`, when the policy changed since",
        &["aidt.run.id", "aidt.step.path", "aidt.verdict", "aidt.decision.id", "aidt.policy.revision", "error.type"],
    ),
    span(
        "publish <pool>",
        "producer",
        "aidt-completion-consumer",
        "`apply` or `admit`",
        &[
            "messaging.system",
            "messaging.operation.type",
            "messaging.operation.name",
            "messaging.destination.name",
            "aidt.run.id",
            "aidt.step.path",
            "aidt.dispatch",
            "aidt.attempt",
            "aidt.project",
            "aidt.pool",
            "aidt.tool",
            "aidt.republished",
            "error.type",
        ],
    ),
    span(
        "process <pool>",
        "consumer",
        "aidt-step-consumer",
        "`publish`, and linked to it",
        &[
            "messaging.system",
            "messaging.operation.type",
            "messaging.operation.name",
            "messaging.destination.name",
            "aidt.run.id",
            "aidt.step.path",
            "aidt.dispatch",
            "aidt.attempt",
            "aidt.project",
            "aidt.pool",
            "aidt.tool",
            "aidt.doubtful",
            "aidt.outcome",
            "error.type",
        ],
    ),
    span("claim", "client", "aidt-step-consumer", "`process`", &["aidt.run.id"]),
    span(
        "call <tool>",
        "client",
        "aidt-step-consumer",
        "`process`",
        &[
            "rpc.system.name",
            "aidt.run.id",
            "aidt.step.path",
            "aidt.dispatch",
            "aidt.tool",
            "aidt.outcome",
            "error.type",
        ],
    ),
    span(
        "execute <tool>",
        "server",
        "aidt-tool-worker",
        "`call`",
        &[
            "rpc.system.name",
            "aidt.run.id",
            "aidt.step.path",
            "aidt.dispatch",
            "aidt.attempt",
            "aidt.tool",
            "error.type",
        ],
    ),
    span(
        "publish <command>",
        "producer",
        "aidt-step-consumer",
        "`process`",
        &[
            "messaging.system",
            "messaging.operation.type",
            "messaging.operation.name",
            "messaging.destination.name",
            "aidt.run.id",
            "aidt.step.path",
            "aidt.dispatch",
            "aidt.tool",
        ],
    ),
];
