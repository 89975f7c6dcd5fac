//! What the environment may say: the standard `OTEL_*` variables, and those of the log.

use crate::telemetry::Error;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// How telemetry is made and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `service.name`: `aidt-gateway`, or `aidt` when the services share a process.
    pub service: String,
    /// `service.version`.
    pub version: String,
    /// `service.instance.id`: the id of this process's life.
    pub instance: String,
    /// Further attributes of the resource.
    pub attributes: Vec<(String, String)>,
    /// Where spans go; `None`: none are made.
    pub traces: Option<Target>,
    /// Where metrics are pushed; `None`: they can only be read as text.
    pub metrics: Option<Target>,
    /// Share of new traces that are recorded, 0 to 1. A trace that comes from outside is recorded if it says so.
    pub sampled: f64,
    /// How often metrics are pushed.
    pub metrics_interval: Duration,
    /// The queue of spans.
    pub limits: Limits,
    /// The log on standard error.
    pub console: Console,
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `http://host:port`, for HTTP with the path of the signal.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Sent with each request.
    pub headers: Vec<(String, String)>,
    /// How long a request may take.
    pub timeout: Duration,
}

/// The two ways of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC, usually at port 4317.
    Grpc,
    /// Protobuf over HTTP, usually at port 4318.
    HttpProtobuf,
}

/// Bounds of the queue of spans that wait for the collector. What does not fit is dropped, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Spans that may wait.
    pub queue: usize,
    /// Spans that go in one request.
    pub batch: usize,
    /// How long a span waits for others at most.
    pub delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 16_384, batch: 512, delay: Duration::from_secs(1) }
    }
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Console {
    /// A level, or directives of `tracing`.
    pub filter: String,
    /// Its form.
    pub format: Format,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Console {
    fn default() -> Self {
        Self { filter: "error".to_owned(), format: Format::Text }
    }
}

impl Config {
    /// Nothing goes anywhere but the log's errors to standard error.
    #[must_use]
    pub fn new(service: &str, version: &str, instance: &str) -> Self {
        Self {
            service: service.to_owned(),
            version: version.to_owned(),
            instance: instance.to_owned(),
            attributes: Vec::new(),
            traces: None,
            metrics: None,
            sampled: 1.0,
            metrics_interval: Duration::from_secs(60),
            limits: Limits::default(),
            console: Console::default(),
        }
    }

    /// What the variables say. `var` looks one up; an empty one counts as not set.
    ///
    /// # Errors
    /// A variable that cannot be understood, by its name.
    pub fn from_vars(
        service: &str,
        version: &str,
        instance: &str,
        var: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let vars = Vars(&var);
        let mut config = Self::new(service, version, instance);
        if let Some(filter) = vars.get("AIDT_LOG") {
            if !is_filter(&filter) {
                let wanted = "off, error, warn, info, debug or trace, for a part as well: warn,aidt_gateway=debug";
                return Err(invalid("AIDT_LOG", &filter, wanted));
            }
            config.console.filter = filter;
        }
        config.console.format = match vars.get("AIDT_LOG_FORMAT").as_deref() {
            None | Some("text") => Format::Text,
            Some("json") => Format::Json,
            Some(other) => return Err(invalid("AIDT_LOG_FORMAT", other, "text or json")),
        };
        if let Some(attributes) = vars.get("OTEL_RESOURCE_ATTRIBUTES") {
            config.attributes = pairs("OTEL_RESOURCE_ATTRIBUTES", &attributes)?;
            let named = config.attributes.iter().position(|(key, _)| key == "service.name");
            config.service = named.map_or(config.service, |at| config.attributes.remove(at).1);
        }
        if let Some(name) = vars.get("OTEL_SERVICE_NAME") {
            config.service = name;
        }
        let limits = &mut config.limits;
        limits.queue = vars.number("OTEL_BSP_MAX_QUEUE_SIZE", limits.queue)?;
        limits.batch = vars.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", limits.batch)?.min(limits.queue);
        limits.delay = vars.millis("OTEL_BSP_SCHEDULE_DELAY", limits.delay)?;
        config.metrics_interval = vars.millis("OTEL_METRIC_EXPORT_INTERVAL", config.metrics_interval)?;
        config.sampled = vars.ratio()?;
        if vars.get("OTEL_SDK_DISABLED").is_none_or(|off| !off.eq_ignore_ascii_case("true")) {
            config.traces = vars.target("TRACES", "/v1/traces")?;
            config.metrics = vars.target("METRICS", "/v1/metrics")?;
        }
        Ok(config)
    }
}

/// Whether this says what to log. A word that is no level would be read as the name of a part, of which then
/// everything is logged, and nothing else: a slip such as `verbose` must not pass for that.
fn is_filter(filter: &str) -> bool {
    let names_a_level = |directive: &str| directive.contains(['=', '[']) || directive.parse::<LevelFilter>().is_ok();
    filter.split(',').all(names_a_level) && EnvFilter::try_new(filter).is_ok()
}

struct Vars<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Vars<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &'static str, default: usize) -> Result<usize, Error> {
        let Some(text) = self.get(name) else { return Ok(default) };
        match text.parse() {
            Ok(number @ 1..) => Ok(number),
            _ => Err(invalid(name, &text, "a number, at least 1")),
        }
    }

    fn millis(&self, name: &'static str, default: Duration) -> Result<Duration, Error> {
        let Some(text) = self.get(name) else { return Ok(default) };
        match text.parse() {
            Ok(millis @ 1..) => Ok(Duration::from_millis(millis)),
            _ => Err(invalid(name, &text, "milliseconds, at least 1")),
        }
    }

    /// The share of new traces. Samplers that would not look at the parent are read as if they did: a trace
    /// is whole or absent.
    fn ratio(&self) -> Result<f64, Error> {
        const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
        let Some(sampler) = self.get(SAMPLER) else { return Ok(1.0) };
        match sampler.strip_prefix("parentbased_").unwrap_or(&sampler) {
            "always_on" => Ok(1.0),
            "always_off" => Ok(0.0),
            "traceidratio" => {
                const RATIO: &str = "OTEL_TRACES_SAMPLER_ARG";
                let text = self.get(RATIO).unwrap_or_else(|| "1".to_owned());
                let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                ratio.ok_or_else(|| invalid(RATIO, &text, "a number from 0 to 1"))
            }
            _ => Err(invalid(SAMPLER, &sampler, "parentbased_traceidratio, parentbased_always_on or _off")),
        }
    }

    /// Where a signal goes: its own variable, else the common one; nowhere without an endpoint.
    fn target(&self, signal: &str, path: &str) -> Result<Option<Target>, Error> {
        let exporter = format!("OTEL_{signal}_EXPORTER");
        match self.get(&exporter).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return Err(invalid(&exporter, other, "otlp or none")),
        }
        let own = |what: &str| format!("OTEL_EXPORTER_OTLP_{signal}_{what}");
        let common = |what: &str| format!("OTEL_EXPORTER_OTLP_{what}");
        let either = |what: &str| {
            let (own, common) = (own(what), common(what));
            self.get(&own).map(|value| (own, value)).or_else(|| self.get(&common).map(|value| (common, value)))
        };
        let Some((endpoint_name, endpoint)) = either("ENDPOINT") else { return Ok(None) };
        let protocol = match either("PROTOCOL") {
            None => Protocol::HttpProtobuf,
            Some((_, value)) if value == "grpc" => Protocol::Grpc,
            Some((_, value)) if value == "http/protobuf" => Protocol::HttpProtobuf,
            Some((name, value)) => return Err(invalid(&name, &value, "grpc or http/protobuf")),
        };
        if !endpoint.starts_with("http://") {
            let wanted = "http://host:port (TLS is the business of a collector beside this process)";
            return Err(invalid(&endpoint_name, &endpoint, wanted));
        }
        // A signal's own endpoint is the whole address; the common one is the base.
        let base = endpoint.trim_end_matches('/');
        let whole = protocol == Protocol::Grpc || endpoint_name == own("ENDPOINT");
        let endpoint = if whole { endpoint } else { format!("{base}{path}") };
        let timeout = match either("TIMEOUT") {
            None => Duration::from_secs(10),
            Some((name, value)) => match value.parse() {
                Ok(millis @ 1..) => Duration::from_millis(millis),
                _ => return Err(invalid(&name, &value, "milliseconds, at least 1")),
            },
        };
        let headers = either("HEADERS").map_or(Ok(Vec::new()), |(name, value)| pairs(&name, &value))?;
        Ok(Some(Target { endpoint, protocol, headers, timeout }))
    }
}

/// `a=b,c=d`, percent-encoded as in W3C baggage.
fn pairs(name: &str, text: &str) -> Result<Vec<(String, String)>, Error> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        Some((key.trim().to_owned(), decoded(value.trim())?))
    };
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    // Headers may hold a token: the value is not repeated.
    parts.map(|part| pair(part).ok_or_else(|| invalid(name, "…", "key=value,key=value"))).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

fn invalid(name: &str, value: &str, wanted: &str) -> Error {
    Error::Invalid { name: name.to_owned(), value: value.to_owned(), wanted: wanted.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Config, Error> {
        let var = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Config::from_vars("aidt", "1", "proc_1", var)
    }

    #[test]
    fn nothing_said_is_nothing_sent() {
        assert_eq!(read(&[]).unwrap(), Config::new("aidt", "1", "proc_1"));
        let off = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_SDK_DISABLED", "true")]).unwrap();
        assert_eq!((off.traces, off.metrics), (None, None));
    }

    #[test]
    fn the_common_endpoint_is_a_base_and_a_signals_own_is_whole() {
        let config = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m:1/x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t, tenant=a"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
        ])
        .unwrap();
        let traces = config.traces.unwrap();
        assert_eq!((traces.endpoint.as_str(), traces.protocol), ("http://c:4318/v1/traces", Protocol::HttpProtobuf));
        assert_eq!(traces.headers[0], ("authorization".to_owned(), "Bearer t".to_owned()));
        assert_eq!(traces.timeout, Duration::from_millis(250));
        assert_eq!(config.metrics.unwrap().endpoint, "http://m:1/x");
        let grpc =
            read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap();
        assert_eq!(grpc.traces.unwrap().endpoint, "http://c:4317");
    }

    #[test]
    fn names_samplers_and_the_log_are_read() {
        let config = read(&[
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=prod"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.1"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("AIDT_LOG", "WARN,aidt_gateway=debug"),
            ("AIDT_LOG_FORMAT", "json"),
        ])
        .unwrap();
        assert_eq!((config.service.as_str(), config.sampled, config.traces), ("other", 0.1, None));
        assert_eq!(config.attributes, [("deployment.environment.name".to_owned(), "prod".to_owned())]);
        assert_eq!(config.console, Console { filter: "WARN,aidt_gateway=debug".to_owned(), format: Format::Json });
        assert!(config.metrics.is_some());
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let wrong = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4317"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("AIDT_LOG", "aidt=loud"),
            ("AIDT_LOG", "verbose"),
            ("AIDT_LOG", "warn,aidt_gateway"),
            ("AIDT_LOG_FORMAT", "xml"),
            ("OTEL_METRICS_EXPORTER", "console"),
        ];
        for (name, value) in wrong {
            let error = read(&[(name, value), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:1")]);
            let error = match name {
                "OTEL_EXPORTER_OTLP_ENDPOINT" => read(&[(name, value)]),
                _ => error,
            };
            let error = error.unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
