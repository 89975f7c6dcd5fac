//! Start and shutdown.

use crate::config::Config;
use crate::console;
use crate::exporter::Exporter;
use crate::instruments::{self, Instruments};
use crate::queue::{Queue, ToQueue};
use crate::sampler::ParentOrRatio;
use crate::span::Scope;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable cannot be understood.
    #[error("{name} is '{value}': give {wanted}")]
    Invalid {
        /// The variable.
        name: String,
        /// What it says.
        value: String,
        /// What it may say.
        wanted: String,
    },
    /// A header of `OTEL_EXPORTER_OTLP_HEADERS` is none.
    #[error("OTEL_EXPORTER_OTLP_HEADERS: '{0}' and its value are not an HTTP header")]
    Header(String),
    /// The exporter cannot be built.
    #[error("telemetry cannot be exported as OTEL_EXPORTER_OTLP_* say")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The thread that sends cannot be started.
    #[error("the thread that sends telemetry cannot be started")]
    Thread(#[source] std::io::Error),
}

/// What became of the spans of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Taken by the collector.
    pub sent: u64,
    /// Lost: no room in the queue, not taken, or not in time.
    pub dropped: u64,
}

/// The telemetry of a process. Dropping it without [`shutdown`](Self::shutdown) loses what waits.
#[derive(Debug)]
pub struct Telemetry {
    exporter: Option<Exporter>,
}

static TRACING: AtomicBool = AtomicBool::new(false);
static TRACERS: RwLock<Option<[SdkTracer; Scope::ALL.len()]>> = RwLock::new(None);
static METRICS: OnceLock<Metrics> = OnceLock::new();

/// The numbers of a process live as long as it does, however often telemetry is started.
struct Metrics {
    reader: Shared,
    _provider: SdkMeterProvider,
    instruments: Instruments,
}

impl Telemetry {
    /// Starts it: the log, the spans if they go anywhere, the metrics. Once a process; from then on the
    /// functions of this crate work, on any thread.
    ///
    /// # Errors
    /// A collector's address or header that is none; a thread that cannot be started. A collector that does
    /// not answer is no error.
    pub fn start(config: &Config) -> Result<Self, Error> {
        let resource = resource(config);
        METRICS.get_or_init(|| metrics(resource.clone()));
        let queue = Queue::new(config.limits);
        let sends = config.traces.is_some() || config.metrics.is_some();
        let exporter = sends.then(|| Exporter::start(config, &resource, Arc::clone(&queue))).transpose()?;
        let tracers = config.traces.is_some().then(|| tracers(config, resource, queue));
        console::install(&config.console);
        TRACING.store(tracers.is_some(), Ordering::Release);
        *TRACERS.write().unwrap_or_else(PoisonError::into_inner) = tracers;
        Ok(Self { exporter })
    }

    /// Sends what waits, within this time. Blocks. Spans that end later are lost.
    pub fn shutdown(mut self, within: Duration) -> Flushed {
        self.stop_tracing();
        self.exporter.take().map_or_else(Flushed::default, |exporter| exporter.stop(within))
    }

    fn stop_tracing(&self) {
        TRACING.store(false, Ordering::Release);
        *TRACERS.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if self.exporter.is_some() {
            self.stop_tracing();
        }
    }
}

/// Whether spans go anywhere.
#[inline]
pub(crate) fn is_tracing() -> bool {
    TRACING.load(Ordering::Relaxed)
}

/// The tracer of a part, if spans go anywhere.
pub(crate) fn tracer(scope: Scope) -> Option<SdkTracer> {
    if !is_tracing() {
        return None;
    }
    let tracers = TRACERS.read().unwrap_or_else(PoisonError::into_inner);
    tracers.as_ref().map(|tracers| tracers[scope as usize].clone())
}

/// The instruments, once telemetry was started.
pub(crate) fn started_instruments() -> Option<&'static Instruments> {
    METRICS.get().map(|metrics| &metrics.instruments)
}

/// All numbers as they are now. `None` before telemetry was started.
pub(crate) fn collect() -> Option<ResourceMetrics> {
    let mut now = ResourceMetrics::default();
    METRICS.get()?.reader.collect(&mut now).ok()?;
    Some(now)
}

fn resource(config: &Config) -> Resource {
    let named = [
        ("service.namespace", "aidt"),
        ("service.version", config.version.as_str()),
        ("service.instance.id", config.instance.as_str()),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.language", "rust"),
    ];
    let named = named.map(|(key, value)| KeyValue::new(key, value.to_owned()));
    let others = config.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let builder = Resource::builder_empty().with_service_name(config.service.clone());
    builder.with_attributes(named).with_attributes(others).build()
}

fn tracers(config: &Config, resource: Resource, queue: Arc<Queue>) -> [SdkTracer; Scope::ALL.len()] {
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(ParentOrRatio { ratio: config.sampled })
        .with_span_processor(ToQueue(queue))
        .build();
    Scope::ALL.map(|scope| {
        let scope = InstrumentationScope::builder(scope.name()).with_version(config.version.clone());
        provider.tracer_with_scope(scope.build())
    })
}

fn metrics(resource: Resource) -> Metrics {
    let reader = Shared(Arc::new(ManualReader::builder().with_temporality(Temporality::Cumulative).build()));
    let provider = SdkMeterProvider::builder().with_resource(resource).with_reader(reader.clone()).build();
    let instruments = instruments::build(&provider);
    Metrics { reader, _provider: provider, instruments }
}

/// One reader for both ways out, so that a measurement is recorded once.
#[derive(Clone, Debug)]
struct Shared(Arc<ManualReader>);

impl MetricReader for Shared {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
