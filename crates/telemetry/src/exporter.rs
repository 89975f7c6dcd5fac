//! The thread that sends: a runtime of its own, so that services need none and nothing of theirs waits. What
//! the collector does not take is dropped and counted.

use crate::config::{Config, Protocol, Target};
use crate::queue::Queue;
use crate::telemetry::{Error, Flushed, collect};
use opentelemetry_otlp::{
    MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::trace::SpanExporter as _;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// A running exporter.
#[derive(Debug)]
pub(crate) struct Exporter {
    queue: Arc<Queue>,
    stop: watch::Sender<Option<Instant>>,
    done: mpsc::Receiver<()>,
}

impl Exporter {
    /// Starts the thread. Nothing is connected yet: a collector may come later.
    pub(crate) fn start(config: &Config, resource: &Resource, queue: Arc<Queue>) -> Result<Self, Error> {
        let (stop, stopped) = watch::channel(None);
        let (tell, done) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let (config, resource, shared) = (config.clone(), resource.clone(), Arc::clone(&queue));
        let thread = std::thread::Builder::new().name("telemetry".to_owned());
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(Error::Thread(error)))),
            };
            runtime.block_on(async move {
                match Sender::build(&config, &resource, shared, stopped) {
                    Ok(sender) => {
                        let _starter_waits = ready.send(Ok(()));
                        sender.run().await;
                    }
                    Err(error) => {
                        let _starter_waits = ready.send(Err(error));
                    }
                }
            });
            // A connection that hangs must not hold the process.
            runtime.shutdown_background();
            let _nobody_may_wait = tell.send(());
        };
        thread.spawn(body).map_err(Error::Thread)?;
        let gone = |_| Error::Thread(std::io::Error::other("the thread ended at once"));
        is_ready.recv().map_err(gone).and_then(|built| built)?;
        Ok(Self { queue, stop, done })
    }

    /// Sends what waits, within this time; what is left then is dropped. Blocks.
    pub(crate) fn stop(self, within: Duration) -> Flushed {
        self.stop.send_replace(Some(Instant::now() + within));
        // The thread keeps to the time, if it gets to run.
        let _ended = self.done.recv_timeout(within + Duration::from_millis(100));
        self.queue.flushed()
    }
}

/// What runs on the thread.
struct Sender {
    queue: Arc<Queue>,
    spans: Option<SpanExporter>,
    metrics: Option<(MetricExporter, Duration)>,
    timeouts: [Duration; 2],
    stopped: watch::Receiver<Option<Instant>>,
    failing: bool,
}

impl Sender {
    fn build(
        config: &Config,
        resource: &Resource,
        queue: Arc<Queue>,
        stopped: watch::Receiver<Option<Instant>>,
    ) -> Result<Self, Error> {
        let mut spans = config.traces.as_ref().map(span_exporter).transpose()?;
        spans.iter_mut().for_each(|exporter| exporter.set_resource(resource));
        let metrics = config.metrics.as_ref().map(metric_exporter).transpose()?;
        let metrics = metrics.map(|exporter| (exporter, config.metrics_interval));
        let time = |target: &Option<Target>| target.as_ref().map_or(Duration::ZERO, |t| t.timeout);
        let timeouts = [time(&config.traces), time(&config.metrics)];
        Ok(Self { queue, spans, metrics, timeouts, stopped, failing: false })
    }

    async fn run(mut self) {
        let mut next_push = self.metrics.as_ref().map(|(_, every)| Instant::now() + *every);
        while self.deadline().is_none() {
            let idle_until = Instant::now() + self.queue.limits().delay;
            let push_at = next_push.unwrap_or(idle_until);
            tokio::select! {
                biased;
                changed = self.stopped.changed() => {
                    if changed.is_err() {
                        // Whoever started this is gone, and has given up what waits.
                        return;
                    }
                }
                () = sleep_until(push_at), if next_push.is_some() => {}
                () = self.queue.enough() => {}
                () = sleep_until(idle_until) => {}
            }
            self.send_spans().await;
            if next_push.is_some_and(|at| at <= Instant::now()) {
                self.push_metrics().await;
                next_push = self.metrics.as_ref().map(|(_, every)| Instant::now() + *every);
            }
        }
        self.send_spans().await;
        self.push_metrics().await;
    }

    fn deadline(&self) -> Option<Instant> {
        *self.stopped.borrow()
    }

    /// Until nothing waits, or the time to stop has passed.
    async fn send_spans(&mut self) {
        let Some(exporter) = self.spans.take() else { return };
        while self.deadline().is_none_or(|at| Instant::now() < at) {
            let batch = self.queue.take();
            if batch.is_empty() {
                break;
            }
            let count = batch.len();
            match self.bounded(self.timeouts[0], exporter.export(batch)).await {
                Ok(()) => {
                    self.queue.sent(count);
                    self.works();
                }
                Err(reason) => {
                    self.queue.lost(count, "export_failed");
                    self.fails("spans", &reason);
                }
            }
        }
        self.spans = Some(exporter);
    }

    async fn push_metrics(&mut self) {
        let Some((exporter, every)) = self.metrics.take() else { return };
        if self.deadline().is_none_or(|at| Instant::now() < at)
            && let Some(metrics) = collect().filter(|now| now.scope_metrics().next().is_some())
        {
            match self.bounded(self.timeouts[1], exporter.export(&metrics)).await {
                Ok(()) => self.works(),
                Err(reason) => self.fails("metrics", &reason),
            }
        }
        self.metrics = Some((exporter, every));
    }

    /// An export that ends in time: its own, or that of the stop.
    async fn bounded(&self, limit: Duration, export: impl Future<Output = OTelSdkResult>) -> Result<(), String> {
        let mut stopped = self.stopped.clone();
        let stop = async move {
            // An error: whoever started this is gone, and waits for nothing.
            if let Ok(deadline) = stopped.wait_for(Option::is_some).await.map(|at| *at)
                && let Some(deadline) = deadline
            {
                sleep_until(deadline).await;
            }
        };
        tokio::select! {
            biased;
            exported = timeout(limit, export) => match exported {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
            },
            () = stop => Err("the process ends".to_owned()),
        }
    }

    fn works(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("the collector takes telemetry again");
        }
    }

    /// Said once, until it works again.
    fn fails(&mut self, what: &str, reason: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(what, reason, "the collector does not take telemetry; it is dropped and counted");
        }
    }
}

fn span_exporter(target: &Target) -> Result<SpanExporter, Error> {
    let builder = SpanExporter::builder();
    match target.protocol {
        Protocol::Grpc => {
            let builder = builder.with_tonic().with_endpoint(&target.endpoint).with_timeout(target.timeout);
            builder.with_metadata(metadata(target)?).build()
        }
        Protocol::HttpProtobuf => {
            let builder = builder.with_http().with_protocol(opentelemetry_otlp::Protocol::HttpBinary);
            let builder = builder.with_endpoint(&target.endpoint).with_timeout(target.timeout);
            builder.with_headers(target.headers.iter().cloned().collect()).build()
        }
    }
    .map_err(Error::Exporter)
}

fn metric_exporter(target: &Target) -> Result<MetricExporter, Error> {
    // The same numbers are read as text, where only cumulative ones make sense.
    let builder = MetricExporter::builder().with_temporality(Temporality::Cumulative);
    match target.protocol {
        Protocol::Grpc => {
            let builder = builder.with_tonic().with_endpoint(&target.endpoint).with_timeout(target.timeout);
            builder.with_metadata(metadata(target)?).build()
        }
        Protocol::HttpProtobuf => {
            let builder = builder.with_http().with_protocol(opentelemetry_otlp::Protocol::HttpBinary);
            let builder = builder.with_endpoint(&target.endpoint).with_timeout(target.timeout);
            builder.with_headers(target.headers.iter().cloned().collect()).build()
        }
    }
    .map_err(Error::Exporter)
}

fn metadata(target: &Target) -> Result<opentelemetry_otlp::tonic_types::metadata::MetadataMap, Error> {
    let mut headers = http::HeaderMap::new();
    for (key, value) in &target.headers {
        let header = key.parse::<http::HeaderName>().ok().zip(http::HeaderValue::from_str(value).ok());
        let (key, value) = header.ok_or_else(|| Error::Header(key.clone()))?;
        headers.insert(key, value);
    }
    Ok(opentelemetry_otlp::tonic_types::metadata::MetadataMap::from_headers(headers))
}
