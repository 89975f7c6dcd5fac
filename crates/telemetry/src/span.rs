//! Spans whose parent comes with the data.

use crate::TraceContext;
use crate::telemetry::tracer;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::Span as SdkSpan;
use std::fmt;
use std::str::FromStr as _;

/// The instrumentation scope: which part of aidt made a span. Embedded, they share a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// `aidt-gateway`.
    Gateway,
    /// `aidt-planner`.
    Planner,
    /// `aidt-completion-consumer`.
    CompletionConsumer,
    /// `aidt-step-consumer`.
    StepConsumer,
    /// `aidt-tool-worker`.
    ToolWorker,
}

impl Scope {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 5] =
        [Self::Gateway, Self::Planner, Self::CompletionConsumer, Self::StepConsumer, Self::ToolWorker];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "aidt-gateway",
            Self::Planner => "aidt-planner",
            Self::CompletionConsumer => "aidt-completion-consumer",
            Self::StepConsumer => "aidt-step-consumer",
            Self::ToolWorker => "aidt-tool-worker",
        }
    }
}

/// How a span stands to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work inside a process.
    Internal,
    /// It serves a request.
    Server,
    /// It makes a request and waits.
    Client,
    /// It sends a message and does not wait.
    Producer,
    /// It processes a message.
    Consumer,
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Internal => Self::Internal,
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
            Kind::Producer => Self::Producer,
            Kind::Consumer => Self::Consumer,
        }
    }
}

/// A value of an attribute. Made only when the span is recorded: hand in `format_args!(…)`, not a string.
pub trait Attribute {
    #[doc(hidden)]
    fn into_value(self) -> Value;
}

impl Attribute for &str {
    fn into_value(self) -> Value {
        Value::from(self.to_owned())
    }
}

impl Attribute for fmt::Arguments<'_> {
    fn into_value(self) -> Value {
        text(self)
    }
}

impl Attribute for u32 {
    fn into_value(self) -> Value {
        Value::I64(i64::from(self))
    }
}

impl Attribute for i64 {
    fn into_value(self) -> Value {
        Value::I64(self)
    }
}

impl Attribute for usize {
    fn into_value(self) -> Value {
        Value::I64(i64::try_from(self).unwrap_or(i64::MAX))
    }
}

impl Attribute for bool {
    fn into_value(self) -> Value {
        Value::Bool(self)
    }
}

fn text(arguments: fmt::Arguments<'_>) -> Value {
    match arguments.as_str() {
        Some(constant) => Value::from(constant),
        None => Value::from(arguments.to_string()),
    }
}

/// A span of a trace. Ends when it is dropped.
///
/// One of a trace that nobody records is nothing at all: making it, setting its attributes and dropping it
/// allocates nothing and reads no clock.
#[derive(Default)]
pub struct Span(Option<Box<SdkSpan>>);

impl Span {
    /// A span that records nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// The span of a request from outside: under the one that its headers name, else a new trace, drawn by the
    /// sampler. Headers that are none count as absent.
    #[must_use]
    pub fn incoming(
        scope: Scope,
        traceparent: Option<&str>,
        tracestate: Option<&str>,
        name: fmt::Arguments<'_>,
    ) -> Self {
        let Some(tracer) = tracer(scope) else { return Self(None) };
        let context = match traceparent.and_then(TraceContext::parse) {
            Some(TraceContext { sampled: false, .. }) => return Self(None),
            Some(parent) => {
                let state = tracestate.and_then(|state| TraceState::from_str(state).ok());
                Context::new().with_remote_span_context(span_context(parent, state.unwrap_or_default()))
            }
            None => Context::new(),
        };
        let builder = SpanBuilder::from_name(name.to_string()).with_kind(SpanKind::Server);
        let span = tracer.build_with_context(builder, &context);
        Self(span.is_recording().then(|| Box::new(span)))
    }

    /// A span under the one that `parent` names, if that is recorded.
    #[must_use]
    pub fn child(scope: Scope, kind: Kind, parent: Option<&str>, name: fmt::Arguments<'_>) -> Self {
        let Some(parent) = parent.filter(|parent| TraceContext::is_sampled(parent)) else { return Self(None) };
        Self::make(scope, kind, Some(parent), None, name)
    }

    /// A span that begins a new trace, which continues the one that `earlier` names, if that is recorded.
    #[must_use]
    pub fn continued(scope: Scope, kind: Kind, earlier: Option<&str>, name: fmt::Arguments<'_>) -> Self {
        let Some(earlier) = earlier.filter(|earlier| TraceContext::is_sampled(earlier)) else { return Self(None) };
        Self::make(scope, kind, None, Some(earlier), name)
    }

    fn make(scope: Scope, kind: Kind, parent: Option<&str>, link: Option<&str>, name: fmt::Arguments<'_>) -> Self {
        let Some(tracer) = tracer(scope) else { return Self(None) };
        let context = match parent.map(remote) {
            Some(Some(parent)) => Context::new().with_remote_span_context(parent),
            Some(None) => return Self(None),
            None => Context::new(),
        };
        let name = match name.as_str() {
            Some(constant) => SpanBuilder::from_name(constant),
            None => SpanBuilder::from_name(name.to_string()),
        };
        let mut builder = name.with_kind(kind.into());
        if let Some(link) = link {
            let Some(link) = remote(link) else { return Self(None) };
            builder = builder.with_links(vec![Link::with_context(link)]);
        }
        let span = tracer.build_with_context(builder, &context);
        Self(span.is_recording().then(|| Box::new(span)))
    }

    /// Whether anything of it is kept.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Sets an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Attribute) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value.into_value()));
        }
    }

    /// The same, in a chain.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Attribute) -> Self {
        self.set(key, value);
        self
    }

    /// Links it to another span, if there is one.
    pub fn link(&mut self, other: Option<&str>) {
        let Some(span) = &mut self.0 else { return };
        if let Some(other) = other.and_then(remote) {
            span.add_link(other, Vec::new());
        }
    }

    /// It ended badly. `code` is a word of a fixed set (an error code), `message` never holds a secret.
    pub fn fail(&mut self, code: &str, message: fmt::Arguments<'_>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", code.to_owned()));
            span.set_status(Status::error(message.to_string()));
        }
    }

    /// Its place, for whoever continues this trace. `None` when it is not recorded.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let span = self.0.as_ref()?.span_context();
        let context = TraceContext {
            trace: u128::from_be_bytes(span.trace_id().to_bytes()),
            span: u64::from_be_bytes(span.span_id().to_bytes()),
            sampled: span.is_sampled(),
        };
        Some(context.to_string())
    }

    /// Its place, or where it would be: what it was made under.
    #[must_use]
    pub fn traceparent_or(&self, parent: Option<&str>) -> Option<String> {
        self.traceparent().or_else(|| parent.map(str::to_owned))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Span").field(&self.traceparent()).finish()
    }
}

fn remote(traceparent: &str) -> Option<SpanContext> {
    Some(span_context(TraceContext::parse(traceparent)?, TraceState::default()))
}

fn span_context(context: TraceContext, state: TraceState) -> SpanContext {
    let flags = if context.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(TraceId::from(context.trace), SpanId::from(context.span), flags, true, state)
}
