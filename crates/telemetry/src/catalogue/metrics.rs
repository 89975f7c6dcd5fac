//! The metrics.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// What it is now.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, as documented.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in OpenTelemetry.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// UCUM.
    pub unit: &'static str,
    /// The attributes of each point.
    pub attributes: &'static [&'static str],
    /// What it says.
    pub says: &'static str,
}

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    attributes: &'static [&'static str],
    says: &'static str,
) -> Metric {
    Metric { name, kind, unit, attributes, says }
}

/// Every metric, in the order of the page.
pub const METRICS: &[Metric] = &[
    metric(
        "aidt.steps",
        Kind::Counter,
        "{step}",
        &["aidt.pool", "aidt.step.state"],
        "steps that came to a state, durably: dispatched, done, failed, retrying, requeued, skipped, \
         denied, unknown, cancelled",
    ),
    metric(
        "aidt.step.duration",
        Kind::Histogram,
        "s",
        &["aidt.pool", "aidt.step.state"],
        "from the dispatch of a step to the record of its end",
    ),
    metric(
        "aidt.step.queue.duration",
        Kind::Histogram,
        "s",
        &["aidt.pool"],
        "from the dispatch of a step to its start by a worker",
    ),
    metric(
        "aidt.runs",
        Kind::Counter,
        "{run}",
        &["aidt.run.state"],
        "runs that came to a state, durably: running, done, failed, cancelled",
    ),
    metric(
        "aidt.window.used",
        Kind::Gauge,
        "{step}",
        &["aidt.pool"],
        "steps of a pool that are handed out by this owner and not ended",
    ),
    metric(
        "aidt.window.size",
        Kind::Gauge,
        "{step}",
        &["aidt.pool"],
        "steps of a pool that this owner may have handed out",
    ),
    metric(
        "aidt.backlog.size",
        Kind::Gauge,
        "{step}",
        &["aidt.pool"],
        "ready steps that wait for their pool's window, as far as this owner has read them",
    ),
    metric("aidt.backlog.age", Kind::Gauge, "s", &["aidt.pool"], "how long the oldest of them has waited"),
    metric("aidt.partitions.held", Kind::Gauge, "{partition}", &[], "partitions that this process owns"),
    metric(
        "aidt.partitions.lost",
        Kind::Counter,
        "{partition}",
        &[],
        "partitions that another owner took: a commit was refused because the epoch had moved on",
    ),
    metric("aidt.processes", Kind::Gauge, "{process}", &["aidt.service"], "live processes, as this owner sees them"),
    metric(
        "aidt.turns",
        Kind::Counter,
        "{turn}",
        &["error.type"],
        "turns of the owner; with `error.type` those that were undone",
    ),
    metric(
        "aidt.turn.duration",
        Kind::Histogram,
        "s",
        &[],
        "a turn that did something, from its first command to its last ack",
    ),
    metric("aidt.turn.commands", Kind::Histogram, "{command}", &[], "commands that a turn took"),
    metric("aidt.turn.steps", Kind::Histogram, "{step}", &[], "steps that a turn handed out"),
    metric("aidt.decisions", Kind::Counter, "{decision}", &["aidt.verdict"], "decisions of the gate"),
    metric(
        "aidt.messages.redelivered",
        Kind::Counter,
        "{message}",
        &["aidt.pool"],
        "step messages whose start had to be validated because they were doubtful",
    ),
    metric(
        "aidt.messages.republished",
        Kind::Counter,
        "{message}",
        &["aidt.pool"],
        "step messages that were built and published again",
    ),
    metric("aidt.dead_letters", Kind::Counter, "{message}", &["aidt.inlet"], "messages that were buried"),
    metric("aidt.store.duration", Kind::Histogram, "s", &["aidt.store.operation", "error.type"], "calls of the store"),
    metric("aidt.workers", Kind::Gauge, "{worker}", &["aidt.pool"], "tool workers connected to this step consumer"),
    metric("aidt.worker.slots", Kind::Gauge, "{call}", &["aidt.pool"], "calls that they run at once"),
    metric(
        "aidt.tool.duration",
        Kind::Histogram,
        "s",
        &["aidt.tool", "error.type"],
        "tools, as a tool worker runs them",
    ),
    metric(
        "http.server.request.duration",
        Kind::Histogram,
        "s",
        &["http.request.method", "http.route", "http.response.status_code"],
        "requests to the gateway, to the head of the answer",
    ),
    metric(
        "aidt.telemetry.spans.dropped",
        Kind::Counter,
        "{span}",
        &["error.type"],
        "spans that no collector got: `queue_full`, `export_failed`",
    ),
];
