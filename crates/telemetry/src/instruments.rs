//! The metrics, by what they are told.

use crate::catalogue::METRICS;
use crate::telemetry::started_instruments;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use std::time::Duration;
use tokio::time::Instant;

/// Bounds of durations, in seconds: from an in-process hop to an agent's step.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0, 1800.0,
];

/// Bounds of batches.
const COUNTS: &[f64] = &[0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// The instruments of a process. Recording is a look-up by the attributes and an addition.
#[derive(Debug)]
pub struct Instruments {
    steps: Counter<u64>,
    step_duration: Histogram<f64>,
    queue_duration: Histogram<f64>,
    runs: Counter<u64>,
    window_used: Gauge<u64>,
    window_size: Gauge<u64>,
    backlog_size: Gauge<u64>,
    backlog_age: Gauge<f64>,
    partitions_held: Gauge<u64>,
    partitions_lost: Counter<u64>,
    processes: Gauge<u64>,
    turns: Counter<u64>,
    turn_duration: Histogram<f64>,
    turn_commands: Histogram<u64>,
    turn_steps: Histogram<u64>,
    decisions: Counter<u64>,
    redelivered: Counter<u64>,
    republished: Counter<u64>,
    dead_letters: Counter<u64>,
    store_duration: Histogram<f64>,
    workers: Gauge<u64>,
    worker_slots: Gauge<u64>,
    tool_duration: Histogram<f64>,
    http_duration: Histogram<f64>,
    spans_dropped: Counter<u64>,
}

/// The instruments, once telemetry was started in this process; before, and in most tests, there are none.
#[inline]
#[must_use]
pub fn instruments() -> Option<&'static Instruments> {
    started_instruments()
}

/// Makes this call of the store, and records how long it took. Cancel safe if the call is.
///
/// # Errors
/// Those of the call.
pub async fn timed<T, E>(operation: &'static str, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let Some(instruments) = instruments() else { return call.await };
    let began = Instant::now();
    let result = call.await;
    let operation = KeyValue::new("aidt.store.operation", operation);
    let seconds = began.elapsed().as_secs_f64();
    match &result {
        Ok(_) => instruments.store_duration.record(seconds, &[operation]),
        Err(_) => instruments.store_duration.record(seconds, &[operation, KeyValue::new("error.type", "_OTHER")]),
    }
    result
}

impl Instruments {
    /// Steps of a pool came to a state.
    pub fn steps(&self, pool: &str, state: &'static str, count: u64) {
        self.steps.add(count, &[of_pool(pool), KeyValue::new("aidt.step.state", state)]);
    }

    /// A step that was handed out ended, this long after.
    pub fn step_ended(&self, pool: &str, state: &'static str, after: Duration) {
        let attributes = [of_pool(pool), KeyValue::new("aidt.step.state", state)];
        self.step_duration.record(after.as_secs_f64(), &attributes);
    }

    /// A worker began a step this long after it was handed out.
    pub fn queue_wait(&self, pool: &str, waited: Duration) {
        self.queue_duration.record(waited.as_secs_f64(), &[of_pool(pool)]);
    }

    /// Runs came to a state.
    pub fn runs(&self, state: &'static str, count: u64) {
        self.runs.add(count, &[KeyValue::new("aidt.run.state", state)]);
    }

    /// A pool's window: how much of it is used.
    pub fn window(&self, pool: &str, used: usize, size: usize) {
        let pool = [of_pool(pool)];
        self.window_used.record(used as u64, &pool);
        self.window_size.record(size as u64, &pool);
    }

    /// What waits for a pool's window, and for how long the oldest.
    pub fn backlog(&self, pool: &str, size: usize, oldest: Duration) {
        let pool = [of_pool(pool)];
        self.backlog_size.record(size as u64, &pool);
        self.backlog_age.record(oldest.as_secs_f64(), &pool);
    }

    /// Partitions that this process holds.
    pub fn partitions(&self, held: usize) {
        self.partitions_held.record(held as u64, &[]);
    }

    /// Another owner took one.
    pub fn partition_lost(&self) {
        self.partitions_lost.add(1, &[]);
    }

    /// Live processes of a service.
    pub fn processes(&self, service: &str, live: usize) {
        self.processes.record(live as u64, &[KeyValue::new("aidt.service", service.to_owned())]);
    }

    /// A turn went through.
    pub fn turn(&self, took: Duration, commands: usize, steps: usize) {
        self.turns.add(1, &[]);
        self.turn_duration.record(took.as_secs_f64(), &[]);
        self.turn_commands.record(commands as u64, &[]);
        self.turn_steps.record(steps as u64, &[]);
    }

    /// A turn was undone; `what` says at which point.
    pub fn turn_failed(&self, what: &'static str) {
        self.turns.add(1, &[KeyValue::new("error.type", what)]);
    }

    /// The gate decided.
    pub fn decisions(&self, verdict: &'static str, count: u64) {
        self.decisions.add(count, &[KeyValue::new("aidt.verdict", verdict)]);
    }

    /// A doubtful message of a pool arrived.
    pub fn redelivered(&self, pool: &str) {
        self.redelivered.add(1, &[of_pool(pool)]);
    }

    /// A step message was published again.
    pub fn republished(&self, pool: &str) {
        self.republished.add(1, &[of_pool(pool)]);
    }

    /// Messages of an inlet were buried.
    pub fn dead_letters(&self, inlet: &str, count: u64) {
        self.dead_letters.add(count, &[KeyValue::new("aidt.inlet", inlet.to_owned())]);
    }

    /// Workers of a pool that are connected here, and their slots.
    pub fn workers(&self, pool: &str, workers: usize, slots: usize) {
        let pool = [of_pool(pool)];
        self.workers.record(workers as u64, &pool);
        self.worker_slots.record(slots as u64, &pool);
    }

    /// A tool of this worker ended; `error` is the code of its failure.
    pub fn tool_ended(&self, tool: &str, error: Option<&str>, took: Duration) {
        let tool = KeyValue::new("aidt.tool", tool.to_owned());
        match error {
            None => self.tool_duration.record(took.as_secs_f64(), &[tool]),
            Some(code) => {
                self.tool_duration.record(took.as_secs_f64(), &[tool, KeyValue::new("error.type", code.to_owned())]);
            }
        }
    }

    /// A request was answered. `route` is the pattern, not the path.
    pub fn http_request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let attributes = [
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("http.response.status_code", Value::I64(i64::from(status))),
        ];
        self.http_duration.record(took.as_secs_f64(), &attributes);
    }

    /// Spans were lost.
    pub(crate) fn spans_dropped(&self, reason: &'static str, count: u64) {
        self.spans_dropped.add(count, &[KeyValue::new("error.type", reason)]);
    }
}

fn of_pool(pool: &str) -> KeyValue {
    KeyValue::new("aidt.pool", pool.to_owned())
}

pub(crate) fn build(provider: &SdkMeterProvider) -> Instruments {
    let meter = Builder(provider.meter("aidt"));
    Instruments {
        steps: meter.counter("aidt.steps"),
        step_duration: meter.seconds("aidt.step.duration"),
        queue_duration: meter.seconds("aidt.step.queue.duration"),
        runs: meter.counter("aidt.runs"),
        window_used: meter.gauge("aidt.window.used"),
        window_size: meter.gauge("aidt.window.size"),
        backlog_size: meter.gauge("aidt.backlog.size"),
        backlog_age: meter.gauge_of_seconds("aidt.backlog.age"),
        partitions_held: meter.gauge("aidt.partitions.held"),
        partitions_lost: meter.counter("aidt.partitions.lost"),
        processes: meter.gauge("aidt.processes"),
        turns: meter.counter("aidt.turns"),
        turn_duration: meter.seconds("aidt.turn.duration"),
        turn_commands: meter.counts("aidt.turn.commands"),
        turn_steps: meter.counts("aidt.turn.steps"),
        decisions: meter.counter("aidt.decisions"),
        redelivered: meter.counter("aidt.messages.redelivered"),
        republished: meter.counter("aidt.messages.republished"),
        dead_letters: meter.counter("aidt.dead_letters"),
        store_duration: meter.seconds("aidt.store.duration"),
        workers: meter.gauge("aidt.workers"),
        worker_slots: meter.gauge("aidt.worker.slots"),
        tool_duration: meter.seconds("aidt.tool.duration"),
        http_duration: meter.seconds("http.server.request.duration"),
        spans_dropped: meter.counter("aidt.telemetry.spans.dropped"),
    }
}

/// Makes instruments as the catalogue says.
struct Builder(Meter);

impl Builder {
    fn counter(&self, name: &'static str) -> Counter<u64> {
        let (unit, says) = said(name);
        self.0.u64_counter(name).with_unit(unit).with_description(says).build()
    }

    fn gauge(&self, name: &'static str) -> Gauge<u64> {
        let (unit, says) = said(name);
        self.0.u64_gauge(name).with_unit(unit).with_description(says).build()
    }

    fn gauge_of_seconds(&self, name: &'static str) -> Gauge<f64> {
        let (unit, says) = said(name);
        self.0.f64_gauge(name).with_unit(unit).with_description(says).build()
    }

    fn seconds(&self, name: &'static str) -> Histogram<f64> {
        let (unit, says) = said(name);
        let histogram = self.0.f64_histogram(name).with_unit(unit).with_description(says);
        histogram.with_boundaries(SECONDS.to_vec()).build()
    }

    fn counts(&self, name: &'static str) -> Histogram<u64> {
        let (unit, says) = said(name);
        let histogram = self.0.u64_histogram(name).with_unit(unit).with_description(says);
        histogram.with_boundaries(COUNTS.to_vec()).build()
    }
}

fn said(name: &str) -> (&'static str, &'static str) {
    let metric = METRICS.iter().find(|metric| metric.name == name);
    let metric = metric.expect("every instrument stands in the catalogue: a test starts them all");
    (metric.unit, metric.says)
}
