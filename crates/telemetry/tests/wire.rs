//! What goes over the wire, to a collector of the tests' own, and what happens without one.

#![expect(clippy::unwrap_used, reason = "tests")]

use aidt_telemetry::{
    Config, Kind, Limits, METRICS, Protocol, Scope, Span, Target, Telemetry, TraceContext, instruments, metrics_text,
    spans_recorded,
};
use aidt_tests::{Collector, SeenSpan};
use std::cell::Cell;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Longer than any machine needs that only is busy.
const PATIENCE: Duration = Duration::from_secs(60);
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Telemetry is a process's; these tests share one.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(collector: &Collector, protocol: Protocol) -> Config {
    let (endpoint, path) = match protocol {
        Protocol::Grpc => (collector.grpc(), ["", ""]),
        Protocol::HttpProtobuf => (collector.http(), ["/v1/traces", "/v1/metrics"]),
    };
    let [traces, metrics] = path.map(|path| Target {
        endpoint: format!("{endpoint}{path}"),
        protocol,
        headers: vec![("x-tenant".to_owned(), "tests".to_owned())],
        timeout: PATIENCE,
    });
    Config { traces: Some(traces), metrics: Some(metrics), ..Config::new("aidt-test", "1.2.3", "proc_1") }
}

fn named<'a>(spans: &'a [SeenSpan], name: &str) -> &'a SeenSpan {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

fn a_trace_arrives(protocol: Protocol) {
    let _alone = alone();
    let collector = Collector::start();
    let telemetry = Telemetry::start(&config(&collector, protocol)).unwrap();
    let mut publish =
        Span::child(Scope::CompletionConsumer, Kind::Producer, Some(CLIENT), format_args!("publish {}", 1))
            .with("aidt.run.id", format_args!("run_{}", 7))
            .with("aidt.attempt", 2_u32);
    publish.fail("unavailable", format_args!("the broker is away"));
    let context = publish.traceparent().unwrap();
    drop(publish);
    // Threads without a runtime make spans, and runtimes of others do.
    std::thread::spawn(move || {
        let mut process = Span::child(Scope::StepConsumer, Kind::Consumer, Some(&context), format_args!("process"));
        process.link(Some(&context));
        let later = Span::continued(Scope::StepConsumer, Kind::Internal, Some(&context), format_args!("later"));
        assert_ne!(TraceContext::parse(&later.traceparent().unwrap()).unwrap().trace, 0);
    })
    .join()
    .unwrap();
    instruments().unwrap().steps("default", "done", 3);
    let flushed = telemetry.shutdown(PATIENCE);
    assert_eq!((flushed.sent, flushed.dropped), (3, 0));

    let spans = collector.spans();
    let publish = named(&spans, "publish 1");
    assert_eq!((publish.kind, publish.scope.as_str()), ("producer", "aidt-completion-consumer"));
    assert_eq!(publish.service, "aidt-test");
    assert_eq!(format!("00-{}-{}-01", publish.trace, publish.parent), CLIENT);
    assert_eq!(publish.attributes["aidt.run.id"], "run_7");
    assert_eq!(publish.attributes["aidt.attempt"], "2");
    assert_eq!(publish.attributes["error.type"], "unavailable");
    assert!(publish.failed && publish.start <= publish.end);
    let process = named(&spans, "process");
    assert_eq!((&process.trace, &process.parent), (&publish.trace, &publish.id));
    assert_eq!(process.links, [(publish.trace.clone(), publish.id.clone())]);
    let later = named(&spans, "later");
    assert_ne!(later.trace, publish.trace);
    assert_eq!((later.parent.as_str(), &later.links), ("", &process.links));
    assert!(collector.metrics().contains(&"aidt.steps".to_owned()));
    assert!(collector.all_had("x-tenant", "tests"));
}

#[test]
fn a_trace_arrives_over_grpc() {
    a_trace_arrives(Protocol::Grpc);
}

#[test]
fn a_trace_arrives_over_http() {
    a_trace_arrives(Protocol::HttpProtobuf);
}

#[test]
fn a_trace_that_nobody_samples_makes_nothing() {
    let _alone = alone();
    let collector = Collector::start();
    let telemetry = Telemetry::start(&config(&collector, Protocol::Grpc)).unwrap();
    for parent in [Some(UNSAMPLED), None, Some("nonsense")] {
        let span = Span::child(Scope::Gateway, Kind::Internal, parent, format_args!("child"));
        assert!(!span.is_recorded());
        assert_eq!(span.traceparent(), None);
        assert_eq!(span.traceparent_or(parent).as_deref(), parent, "what came is handed on");
        assert!(!Span::continued(Scope::Gateway, Kind::Internal, parent, format_args!("root")).is_recorded());
    }
    assert_eq!(telemetry.shutdown(PATIENCE).sent, 0);
    assert_eq!(collector.spans(), []);
}

#[test]
fn requests_are_sampled_by_the_ratio_unless_the_caller_says() {
    let _alone = alone();
    let collector = Collector::start();
    let config = Config { sampled: 0.0, ..config(&collector, Protocol::HttpProtobuf) };
    let telemetry = Telemetry::start(&config).unwrap();
    let make = |parent| Span::incoming(Scope::Gateway, parent, Some("vendor=1"), format_args!("GET /x")).traceparent();
    assert_eq!(make(None), None);
    assert_eq!(make(Some("nonsense")), None);
    assert_eq!(make(Some(UNSAMPLED)), None);
    let place = TraceContext::parse(&make(Some(CLIENT)).unwrap()).unwrap();
    assert_eq!(place.trace, TraceContext::parse(CLIENT).unwrap().trace);
    assert_eq!(telemetry.shutdown(PATIENCE).sent, 1);
    let seen = &collector.spans()[0];
    assert_eq!((seen.name.as_str(), seen.kind, &seen.id), ("GET /x", "server", &format!("{:016x}", place.span)));
    assert_eq!(seen.state, "vendor=1");
}

#[test]
fn about_a_tenth_of_new_traces_is_drawn() {
    let _alone = alone();
    let collector = Collector::start();
    let telemetry = Telemetry::start(&Config { sampled: 0.1, ..config(&collector, Protocol::Grpc) }).unwrap();
    let make = |_| Span::incoming(Scope::Gateway, None, None, format_args!("GET /x")).is_recorded();
    let drawn = (0..10_000).map(make).filter(|recorded| *recorded).count();
    assert!((800..1_200).contains(&drawn), "{drawn}");
    assert_eq!(telemetry.shutdown(PATIENCE).sent, drawn as u64);
}

/// An hour may pass before a request is given up: whoever waited for one would not end.
#[test]
fn a_dead_or_hanging_collector_holds_up_nobody_and_losses_are_counted() {
    let _alone = alone();
    // It accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = "http://127.0.0.1:1".to_owned();
    for endpoint in [format!("http://{}", silent.local_addr().unwrap()), dead] {
        for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
            let timeout = Duration::from_secs(3_600);
            let target = Target { endpoint: endpoint.clone(), protocol, headers: Vec::new(), timeout };
            let limits = Limits { queue: 100, batch: 10, delay: Duration::from_millis(10) };
            let config = Config { traces: Some(target), limits, ..Config::new("aidt-test", "1", "proc_1") };
            let telemetry = Telemetry::start(&config).unwrap();
            for n in 0..1_000 {
                drop(Span::child(Scope::Gateway, Kind::Internal, Some(CLIENT), format_args!("{n}")));
            }
            let flushed = telemetry.shutdown(Duration::from_millis(300));
            assert_eq!((flushed.sent, flushed.dropped), (0, 1_000), "{endpoint} {protocol:?}");
        }
    }
}

#[test]
fn the_text_has_every_metric_with_units_types_and_labels() {
    let _alone = alone();
    let telemetry = Telemetry::start(&Config::new("aidt-test", "1", "proc_1")).unwrap();
    let i = instruments().unwrap();
    let second = Duration::from_secs(1);
    i.steps("po\"ol", "done", 2);
    i.step_ended("p", "done", second);
    i.queue_wait("p", Duration::from_millis(3));
    i.runs("done", 1);
    i.window("p", 1, 2);
    i.backlog("p", 1, second);
    i.partitions(8);
    i.partition_lost();
    i.processes("aidt", 1);
    i.turn(second, 1, 1);
    i.turn_failed("committing");
    i.decisions("allow", 1);
    i.redelivered("p");
    i.republished("p");
    i.dead_letters("inbox", 1);
    i.workers("p", 1, 4);
    i.tool_ended("debug.fail", Some("tool_failed"), second);
    i.http_request("GET", "/v1/runs", 200, second);
    let text = metrics_text();
    for line in [
        "# TYPE aidt_steps_total counter",
        "aidt_steps_total{aidt_pool=\"po\\\"ol\",aidt_step_state=\"done\"} 2",
        "# TYPE aidt_step_queue_duration_seconds histogram",
        "aidt_step_queue_duration_seconds_bucket{aidt_pool=\"p\",le=\"0.0025\"} 0",
        "aidt_step_queue_duration_seconds_bucket{aidt_pool=\"p\",le=\"0.005\"} 1",
        "aidt_step_queue_duration_seconds_bucket{aidt_pool=\"p\",le=\"+Inf\"} 1",
        "aidt_step_queue_duration_seconds_count{aidt_pool=\"p\"} 1",
        "aidt_partitions_held 8",
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
    }
    for metric in METRICS {
        let recorded_here = !["aidt.store.duration", "aidt.telemetry.spans.dropped"].contains(&metric.name);
        let name = metric.name.replace('.', "_");
        assert!(!recorded_here || text.contains(&format!("# HELP {name}")), "{name} is not in\n{text}");
    }
    telemetry.shutdown(Duration::ZERO);
}

/// Says how often it was written out.
struct Counted<'a>(&'a Cell<u32>);

impl Display for Counted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.set(self.0.get() + 1);
        f.write_str("counted")
    }
}

#[test]
fn what_nobody_records_costs_no_text() {
    let _alone = alone();
    let (collector, written) = (Collector::start(), Cell::new(0));
    let span = |parent| {
        let name = format_args!("{}", Counted(&written));
        let span = Span::child(Scope::Gateway, Kind::Internal, Some(parent), name);
        span.with("aidt.step.path", format_args!("{}", Counted(&written))).is_recorded()
    };
    let before = spans_recorded();
    let telemetry = Telemetry::start(&Config::new("aidt-test", "1", "proc_1")).unwrap();
    assert!(!span(CLIENT), "there is no collector");
    telemetry.shutdown(Duration::ZERO);
    let telemetry = Telemetry::start(&config(&collector, Protocol::Grpc)).unwrap();
    assert!(!span(UNSAMPLED));
    assert_eq!((written.get(), spans_recorded()), (0, before));
    assert!(span(CLIENT));
    assert_eq!((written.get(), spans_recorded()), (2, before + 1));
    telemetry.shutdown(PATIENCE);
}
