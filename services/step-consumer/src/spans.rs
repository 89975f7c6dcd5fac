//! The spans of a call: the message that is processed, its claim, the call of the worker, and the report.

use aidt_domain::{Outcome, StepMessage};
use aidt_telemetry::{Kind, Scope, Span};

const SCOPE: Scope = Scope::StepConsumer;

/// The spans of one call. They end when they are replaced or the call is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    /// What the broker is called.
    system: &'static str,
    process: Span,
    /// Of the process's place, for what stands under it.
    place: Option<String>,
    claim: Span,
    call: Span,
    report: Span,
}

impl Spans {
    /// A message arrived.
    pub(crate) fn process(step: &StepMessage, system: &'static str, doubtful: bool) -> Self {
        let sender = step.traceparent.as_deref();
        let mut process = Span::child(SCOPE, Kind::Consumer, sender, format_args!("process {}", step.pool));
        if !process.is_recorded() {
            return Self::default();
        }
        process.link(sender);
        process.set("messaging.system", system);
        process.set("messaging.operation.type", "process");
        process.set("messaging.operation.name", "process");
        process.set("messaging.destination.name", format_args!("steps.{}", step.pool));
        process.set("aidt.project", step.project.as_str());
        process.set("aidt.pool", step.pool.as_str());
        process.set("aidt.attempt", step.attempt.0);
        process.set("aidt.doubtful", doubtful);
        of_step(&mut process, step);
        let place = process.traceparent();
        Self { system, process, place, ..Self::default() }
    }

    /// The claim is asked for; it was answered when this is called with `false`.
    pub(crate) fn claim(&mut self, step: &StepMessage, asked: bool) {
        self.claim = Span::none();
        if asked {
            let span = Span::child(SCOPE, Kind::Client, self.place.as_deref(), format_args!("claim"));
            self.claim = span.with("aidt.run.id", format_args!("{}", step.run));
        }
    }

    /// It is judged again, by a newer policy.
    pub(crate) fn decide(&self, step: &StepMessage) -> Span {
        let name = format_args!("decide {}", step.decision.capability);
        let mut span = Span::child(SCOPE, Kind::Internal, self.place.as_deref(), name);
        span.set("aidt.run.id", format_args!("{}", step.run));
        span.set("aidt.step.path", format_args!("{}", step.path));
        span
    }

    /// The call goes to a worker: answers the place that it carries.
    pub(crate) fn call(&mut self, step: &StepMessage) -> Option<String> {
        self.call = Span::child(SCOPE, Kind::Client, self.place.as_deref(), format_args!("call {}", step.tool));
        self.call.set("rpc.system.name", "grpc");
        of_step(&mut self.call, step);
        self.call.traceparent_or(step.traceparent.as_deref())
    }

    /// No worker took it.
    pub(crate) fn not_called(&mut self) {
        self.call.fail("unplaced", format_args!("no worker took the call"));
        self.call = Span::none();
    }

    /// It ended.
    pub(crate) fn ended(&mut self, told: &Outcome) {
        if !self.process.is_recorded() {
            return;
        }
        let failure = match told {
            Outcome::Failed(failure) | Outcome::Cancelled(failure) => Some(failure),
            Outcome::Done { .. } | Outcome::Released | Outcome::Deferred(_) | Outcome::Refused(_) => None,
        };
        for span in [&mut self.call, &mut self.process] {
            span.set("aidt.outcome", outcome_word(told));
            if let Some(failure) = failure {
                span.fail(failure.code.as_str(), format_args!("the call ended as {}", failure.code.as_str()));
            }
        }
        self.call = Span::none();
    }

    /// A command to the owner is published: answers the place that it carries.
    pub(crate) fn report(&mut self, step: &StepMessage, command: &'static str) -> Option<String> {
        let span = Span::child(SCOPE, Kind::Producer, self.place.as_deref(), format_args!("publish {command}"));
        self.report = span
            .with("messaging.system", self.system)
            .with("messaging.operation.type", "send")
            .with("messaging.operation.name", "publish")
            .with("messaging.destination.name", "commands");
        of_step(&mut self.report, step);
        self.report.traceparent_or(step.traceparent.as_deref())
    }
}

fn of_step(span: &mut Span, step: &StepMessage) {
    span.set("aidt.run.id", format_args!("{}", step.run));
    span.set("aidt.step.path", format_args!("{}", step.path));
    span.set("aidt.dispatch", step.dispatch.0);
    span.set("aidt.tool", step.tool.as_str());
}

fn outcome_word(told: &Outcome) -> &'static str {
    match told {
        Outcome::Done { .. } => "done",
        Outcome::Failed(_) => "failed",
        Outcome::Cancelled(_) => "cancelled",
        Outcome::Released => "released",
        Outcome::Deferred(_) => "deferred",
        Outcome::Refused(_) => "refused",
    }
}
