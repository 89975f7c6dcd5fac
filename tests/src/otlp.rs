//! A collector of the tests' own: takes OTLP over gRPC and over HTTP, and keeps what came.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span as it came over the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenSpan {
    /// `service.name` of its resource.
    pub service: String,
    /// Its instrumentation scope.
    pub scope: String,
    /// Its name.
    pub name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer`.
    pub kind: &'static str,
    /// 32 hex digits.
    pub trace: String,
    /// 16 hex digits.
    pub id: String,
    /// Its `tracestate`.
    pub state: String,
    /// 16 hex digits; empty for a root.
    pub parent: String,
    /// Trace and span that it is linked to.
    pub links: Vec<(String, String)>,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Whether its status is an error.
    pub failed: bool,
    /// Nanoseconds of the epoch.
    pub start: u64,
    /// Nanoseconds of the epoch.
    pub end: u64,
}

impl SeenSpan {
    /// Its place, as a W3C `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

#[derive(Default)]
struct Seen {
    spans: Vec<SeenSpan>,
    metrics: Vec<String>,
    headers: Vec<HeaderMap>,
}

type Shared = Arc<Mutex<Seen>>;

/// The collector. It serves on a thread of its own, until the process ends.
pub struct Collector {
    grpc: SocketAddr,
    http: SocketAddr,
    seen: Shared,
}

impl Default for Collector {
    fn default() -> Self {
        Self::start()
    }
}

impl Collector {
    /// Starts it on two free ports.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn start() -> Self {
        let listen = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let (grpc, http) = (listen(), listen());
        let seen = Shared::default();
        let this = Self { grpc: grpc.local_addr().unwrap(), http: http.local_addr().unwrap(), seen: seen.clone() };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let service = Service(seen.clone());
                let router = Router::new().route("/v1/traces", post(traces)).route("/v1/metrics", post(metrics));
                let over_http = axum::serve(tokio::net::TcpListener::from_std(http).unwrap(), router.with_state(seen));
                let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(grpc).unwrap());
                let over_grpc = tonic::transport::Server::builder()
                    .add_service(TraceServiceServer::new(service.clone()))
                    .add_service(MetricsServiceServer::new(service))
                    .serve_with_incoming(incoming);
                let (over_grpc, over_http) = tokio::join!(over_grpc, async { over_http.await });
                over_grpc.unwrap();
                over_http.unwrap();
            });
        });
        this
    }

    /// `http://host:port` for gRPC.
    #[must_use]
    pub fn grpc(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// `http://host:port` for HTTP.
    #[must_use]
    pub fn http(&self) -> String {
        format!("http://{}", self.http)
    }

    /// What `OTEL_EXPORTER_OTLP_*` must say for this protocol (`grpc` or `http/protobuf`).
    #[must_use]
    pub fn vars(&self, protocol: &str) -> [(&'static str, String); 2] {
        let endpoint = if protocol == "grpc" { self.grpc() } else { self.http() };
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned())]
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<SeenSpan> {
        self.lock().spans.clone()
    }

    /// Names of all metrics so far, each once.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        let mut names = self.lock().metrics.clone();
        names.sort();
        names.dedup();
        names
    }

    /// Whether each request had this header.
    #[must_use]
    pub fn all_had(&self, name: &str, value: &str) -> bool {
        let seen = self.lock();
        !seen.headers.is_empty() && seen.headers.iter().all(|h| h.get(name).is_some_and(|v| v == value))
    }

    /// Waits for spans for which this holds, of those that came so far.
    ///
    /// # Panics
    /// When they have not come in time; it says what has.
    pub fn until(&self, what: &str, within: Duration, enough: impl Fn(&[SeenSpan]) -> bool) -> Vec<SeenSpan> {
        let until = Instant::now() + within;
        loop {
            let spans = self.spans();
            if enough(&spans) {
                return spans;
            }
            assert!(Instant::now() < until, "{what} did not come in {within:?}; there are {spans:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Service(Shared);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        keep_spans(&self.0, headers, request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        keep_metrics(&self.0, headers, request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn traces(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) if headers.get("content-type").is_some_and(|t| t == "application/x-protobuf") => {
            keep_spans(&seen, headers, request);
            (StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec())
        }
        _ => (StatusCode::BAD_REQUEST, Vec::new()),
    }
}

async fn metrics(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    match ExportMetricsServiceRequest::decode(body) {
        Ok(request) => {
            keep_metrics(&seen, headers, request);
            (StatusCode::OK, ExportMetricsServiceResponse::default().encode_to_vec())
        }
        Err(_) => (StatusCode::BAD_REQUEST, Vec::new()),
    }
}

fn keep_spans(seen: &Shared, headers: HeaderMap, request: ExportTraceServiceRequest) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.headers.push(headers);
    for resource in request.resource_spans {
        let service = service_name(resource.resource.as_ref());
        for scope in resource.scope_spans {
            let name = scope.scope.map(|scope| scope.name).unwrap_or_default();
            seen.spans.extend(scope.spans.into_iter().map(|span| SeenSpan {
                service: service.clone(),
                scope: name.clone(),
                name: span.name,
                kind: ["", "internal", "server", "client", "producer", "consumer"][span.kind as usize],
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                state: span.trace_state,
                parent: hex(&span.parent_span_id),
                links: span.links.iter().map(|l| (hex(&l.trace_id), hex(&l.span_id))).collect(),
                attributes: span.attributes.into_iter().map(|KeyValue { key, value, .. }| (key, text(value))).collect(),
                failed: span.status.is_some_and(|status| status.code == 2),
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
            }));
        }
    }
}

fn keep_metrics(seen: &Shared, headers: HeaderMap, request: ExportMetricsServiceRequest) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.headers.push(headers);
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    seen.metrics.extend(scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name));
}

fn service_name(resource: Option<&Resource>) -> String {
    let attributes = resource.into_iter().flat_map(|resource| &resource.attributes);
    attributes.filter(|kv| kv.key == "service.name").map(|kv| text(kv.value.clone())).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(truth)) => truth.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
