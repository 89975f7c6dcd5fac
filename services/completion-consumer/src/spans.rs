//! The spans of a turn. A run that waits makes none: each command that is applied is one, under the context
//! that came with it, and what follows from it stands under it. After a long wait, or by a person's word, a
//! run goes on in a new trace, linked to its first.

use crate::cache::Cached;
use aidt_domain::{Command, CommandBody, Decision, Failure, Judged, RunId, StepIx, StepMessage, Timestamp, Verdict};
use aidt_telemetry::{Kind, Scope, Span};
use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::time::Duration;
use tokio::time::Instant;

/// A run that was silent for longer goes on in a new trace.
const LONG: Duration = Duration::from_secs(600);

const SCOPE: Scope = Scope::CompletionConsumer;

/// The spans that a turn has open. Only recorded ones are kept; they end with the turn, after its acks.
#[derive(Debug)]
pub(crate) struct Spans {
    pub(crate) began: Instant,
    /// Commands that it took.
    pub(crate) commands: usize,
    applying: BTreeMap<RunId, Vec<Span>>,
    publishing: Vec<(RunId, Span)>,
    is_durable: bool,
}

impl Drop for Spans {
    fn drop(&mut self) {
        if !self.is_durable {
            self.undo(|_| true);
        }
    }
}

impl Spans {
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            commands: 0,
            applying: BTreeMap::new(),
            publishing: Vec::new(),
            is_durable: false,
        }
    }

    /// The turn is committed.
    pub(crate) fn committed(&mut self) {
        self.is_durable = true;
    }

    /// What was applied to these runs was not written; their commands come again, here or elsewhere.
    pub(crate) fn undo(&mut self, is_undone: impl Fn(RunId) -> bool) {
        let applying = self.applying.iter_mut().flat_map(|(run, spans)| spans.iter_mut().map(|span| (*run, span)));
        let publishing = self.publishing.iter_mut().map(|(run, span)| (*run, span));
        for (_, span) in applying.chain(publishing).filter(|(run, _)| is_undone(*run)) {
            span.fail("undone", format_args!("the turn was not written"));
        }
    }

    /// A command is about to be applied to its run.
    pub(crate) fn apply(&mut self, command: &Command, cached: &mut Cached, now: Timestamp) {
        self.commands += 1;
        let name = format_args!("apply {}", command.body.name());
        let traces = Traces::of(cached, now);
        let mut span = match command.traceparent.as_deref() {
            Some(sender) => traces.sent(&command.body, sender, name),
            None => traces.own(name),
        };
        if !span.is_recorded() {
            return;
        }
        span.set("aidt.command", command.body.name());
        if let CommandBody::Finished(finished) = &command.body {
            // The engine drops a result of a step that is not there, and so must whoever only watches.
            if cached.run.is_current(finished.step, finished.dispatch) {
                span.set("aidt.step.path", format_args!("{}", cached.run.step(finished.step).path));
            }
            span.set("aidt.dispatch", finished.dispatch.0);
        }
        self.open(span, cached);
    }

    fn open(&mut self, mut span: Span, cached: &Cached) {
        span.set("aidt.run.id", format_args!("{}", cached.run.row.id));
        span.set("aidt.project", cached.run.row.project.as_str());
        self.applying.entry(cached.run.row.id).or_default().push(span);
    }

    /// The place under which something of this run stands now.
    fn place(&self, run: RunId) -> Option<String> {
        self.applying.get(&run)?.last()?.traceparent()
    }

    /// A ready step is about to be judged. Without a command for its run in this turn, it was let in from the
    /// backlog.
    pub(crate) fn judge(&mut self, cached: &mut Cached, ix: StepIx, now: Timestamp) -> Span {
        let run = cached.run.row.id;
        if !self.applying.contains_key(&run) {
            let span = Traces::of(cached, now).own(format_args!("admit"));
            if !span.is_recorded() {
                return span;
            }
            self.open(span, cached);
        }
        let Some(place) = self.place(run) else { return Span::none() };
        let capability = cached.run.graph.spec(ix).kind.tool().map_or("", |entry| entry.capability.as_str());
        Span::child(SCOPE, Kind::Internal, Some(&place), format_args!("decide {capability}"))
            .with("aidt.run.id", format_args!("{run}"))
            .with("aidt.step.path", format_args!("{}", cached.run.step(ix).path))
    }

    /// A step is handed out: its message carries the place of the span that sends it.
    pub(crate) fn publish(&mut self, message: &mut StepMessage, system: &'static str) {
        let place = self.place(message.run);
        let span = publishing(message, place.as_deref(), system);
        if span.is_recorded() {
            message.traceparent = span.traceparent();
            self.publishing.push((message.run, span));
        }
    }
}

/// The decision that a span stands for.
pub(crate) fn judged(mut span: Span, judged: &Result<Box<Judged>, Failure>) {
    match judged {
        Ok(judged) => {
            let Decision { id, verdict, revision, .. } = &judged.decision;
            span.set("aidt.verdict", verdict_word(*verdict));
            span.set("aidt.decision.id", id.as_str());
            span.set("aidt.policy.revision", revision.as_str());
        }
        Err(failure) => span.fail(failure.code.as_str(), format_args!("the step could not be judged")),
    }
}

/// A message that is built again stands under its run; the first one may never have arrived.
pub(crate) fn publish_again(message: &mut StepMessage, latest: Option<&str>, system: &'static str) {
    let parent = latest.map(str::to_owned).or_else(|| message.traceparent.clone());
    let span = publishing(message, parent.as_deref(), system).with("aidt.republished", true);
    message.traceparent = span.traceparent_or(parent.as_deref());
}

fn publishing(message: &StepMessage, parent: Option<&str>, system: &'static str) -> Span {
    Span::child(SCOPE, Kind::Producer, parent, format_args!("publish {}", message.pool))
        .with("messaging.system", system)
        .with("messaging.operation.type", "send")
        .with("messaging.operation.name", "publish")
        .with("messaging.destination.name", format_args!("steps.{}", message.pool))
        .with("aidt.run.id", format_args!("{}", message.run))
        .with("aidt.step.path", format_args!("{}", message.path))
        .with("aidt.dispatch", message.dispatch.0)
        .with("aidt.attempt", message.attempt.0)
        .with("aidt.project", message.project.as_str())
        .with("aidt.pool", message.pool.as_str())
        .with("aidt.tool", message.tool.as_str())
}

/// The traces of a run.
struct Traces<'a> {
    /// Of its submission.
    first: Option<&'a str>,
    /// Where it went on since, in another trace.
    latest: &'a mut Option<String>,
    /// How long nothing happened.
    silent: Duration,
}

impl<'a> Traces<'a> {
    fn of(cached: &'a mut Cached, now: Timestamp) -> Self {
        let row = &cached.run.row;
        Self { first: row.traceparent.as_deref(), latest: &mut cached.trace, silent: now.since(row.updated_at) }
    }

    /// The span of a command that somebody sent. What a person wants now begins a new part of the run: it goes
    /// on in the trace of the request, linked to the run's first.
    fn sent(self, body: &CommandBody, sender: &str, name: Arguments<'_>) -> Span {
        let mut span = Span::child(SCOPE, Kind::Consumer, Some(sender), name);
        span.link(Some(sender));
        let goes_on = match body {
            CommandBody::Retry(_) | CommandBody::Resolve { .. } => true,
            CommandBody::Cancel { .. } => false,
            _ => return span,
        };
        if span.is_recorded() {
            span.link(self.first);
        } else {
            span = Span::continued(SCOPE, Kind::Consumer, self.first, name);
        }
        if goes_on {
            *self.latest = span.traceparent();
        }
        span
    }

    /// The span of what nobody sent: a timer, or what the owner owes itself.
    fn own(self, name: Arguments<'_>) -> Span {
        let latest = self.latest.as_deref().or(self.first);
        if self.silent <= LONG {
            return Span::child(SCOPE, Kind::Internal, latest, name);
        }
        let span = Span::continued(SCOPE, Kind::Internal, self.first.or(latest), name);
        if span.is_recorded() {
            *self.latest = span.traceparent();
        }
        span
    }
}

pub(crate) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Escalate => "escalate",
        Verdict::Transform => "transform",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_telemetry::{Config, Protocol, Target, Telemetry, TraceContext};
    use aidt_tests::Collector;

    const FIRST: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const PERSON: &str = "00-5bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-01";

    fn trace(span: &Span) -> u128 {
        TraceContext::parse(&span.traceparent().unwrap()).unwrap().trace
    }

    fn trace_of(text: &str) -> u128 {
        TraceContext::parse(text).unwrap().trace
    }

    #[test]
    fn a_run_that_waited_long_or_that_a_person_set_going_is_linked_traces() {
        let collector = Collector::start();
        let target = Target {
            endpoint: collector.grpc(),
            protocol: Protocol::Grpc,
            headers: Vec::new(),
            timeout: Duration::from_secs(5),
        };
        let telemetry = Telemetry::start(&Config { traces: Some(target), ..Config::new("test", "1", "1") }).unwrap();
        let mut latest = None;
        let own = |latest: &mut Option<String>, silent, name: &str| {
            let traces = Traces { first: Some(FIRST), latest, silent };
            trace(&traces.own(format_args!("{name}")))
        };
        assert_eq!(own(&mut latest, LONG, "soon"), trace_of(FIRST));
        let after_days = own(&mut latest, Duration::from_secs(3 * 86_400), "after days");
        assert_ne!(after_days, trace_of(FIRST));
        assert_eq!(own(&mut latest, Duration::ZERO, "then"), after_days, "it goes on where it went on");

        let retry = CommandBody::Retry(aidt_domain::RetryScope::Failed);
        let resolve = CommandBody::Resolve {
            step: aidt_domain::StepPath::new("a").unwrap(),
            resolve: aidt_domain::ResolveAs::Retry,
        };
        let unseen = PERSON.replace("-01", "-00");
        for (body, sender) in [(&retry, PERSON), (&retry, &unseen), (&resolve, PERSON), (&resolve, &unseen)] {
            let traces = Traces { first: Some(FIRST), latest: &mut latest, silent: Duration::ZERO };
            let span = traces.sent(body, sender, format_args!("a person"));
            assert_eq!(trace(&span) == trace_of(PERSON), sender == PERSON);
            assert_ne!(trace(&span), trace_of(FIRST));
            assert_eq!(latest, span.traceparent(), "what follows stands under it");
        }
        let cancel = CommandBody::Cancel { reason: String::new() };
        let before = latest.clone();
        let traces = Traces { first: Some(FIRST), latest: &mut latest, silent: Duration::ZERO };
        drop(traces.sent(&cancel, PERSON, format_args!("cancel")));
        assert_eq!(latest, before, "a cancel leaves the run where it is");

        assert_eq!(telemetry.shutdown(Duration::from_secs(5)).sent, 8);
        let first = (format!("{:032x}", trace_of(FIRST)), "00f067aa0ba902b7".to_owned());
        for span in collector.spans() {
            let is_linked = span.links.contains(&first);
            assert_eq!(is_linked, !["soon", "then"].contains(&span.name.as_str()), "{span:#?}");
        }
    }
}
