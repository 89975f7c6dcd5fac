//! What operators see: logs, traces and metrics, by the conventions of OpenTelemetry.
//!
//! Services know this crate, never OpenTelemetry's: they make a [`Span`] where work begins, hand its
//! [`traceparent`](Span::traceparent) on with the data, and record in [`instruments`]. A span's parent always
//! comes with the data (a turn of the owner holds commands of many runs), so there is no current span to get
//! wrong, and nothing is made for a trace that nobody samples.
//!
//! In reading order: `config` (what the environment may say), `telemetry` (start and shutdown), `context`
//! (W3C trace context), `span`, `sampler`, `queue` and `exporter` (the thread that sends), `instruments` and
//! `catalogue` (the metrics), `prometheus` (the same as text), `console` (the log).

#![forbid(unsafe_code)]

mod catalogue;
mod config;
mod console;
mod context;
mod exporter;
mod instruments;
mod prometheus;
mod queue;
mod sampler;
mod span;
mod telemetry;

pub use catalogue::{Kind as MetricKind, METRICS, Metric, SPANS, SpanOf, tables};
pub use config::{Config, Console, Format, Limits, Protocol, Target};
pub use context::TraceContext;
pub use instruments::{Instruments, instruments, timed};
pub use prometheus::metrics_text;
pub use queue::spans_recorded;
pub use span::{Attribute, Kind, Scope, Span};
pub use telemetry::{Error, Flushed, Telemetry};
