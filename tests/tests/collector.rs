//! Against the real OpenTelemetry Collector: `aidt run` sends to it, and what it prints is read.

#![expect(clippy::disallowed_methods, reason = "tests take what they need from the environment")]
#![expect(clippy::unwrap_used, reason = "tests")]

use aidt_tests::{Home, eventually, text};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

const PLAN: &str = "name: seen
steps:
  - { id: a, tool: debug.echo, with: { value: 1 } }
  - { id: b, tool: debug.echo, needs: [a], with: { value: 2 } }
";

/// A Collector that prints what it gets to a file. Killed when dropped.
struct Collector {
    child: Child,
    addresses: [String; 2],
}

impl Collector {
    fn start(output: &Path) -> Self {
        let program = std::env::var("AIDT_TEST_COLLECTOR")
            .expect("AIDT_TEST_COLLECTOR names no Collector: run this test by `cargo xtask interop`");
        let addresses = [free_address(), free_address()];
        let [grpc, http] = &addresses;
        let config = format!(
            "yaml:{{receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}}}, \
             exporters: {{debug: {{verbosity: detailed, use_internal_logger: false, output_paths: ['{}']}}}}, \
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{\
             traces: {{receivers: [otlp], exporters: [debug]}}, metrics: {{receivers: [otlp], exporters: [debug]}}}}}}}}",
            output.display()
        );
        let child = Command::new(program).args(["--config", &config]).stderr(Stdio::inherit()).spawn().unwrap();
        let mut this = Self { child, addresses };
        eventually("the Collector listens", Duration::from_secs(60), || {
            assert_eq!(this.child.try_wait().unwrap(), None, "the Collector ended at its start");
            this.addresses.iter().all(|address| TcpStream::connect(address).is_ok())
        });
        this
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_address() -> String {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string()
}

/// The spans that it printed: each is a list of `name : value`.
fn spans(printed: &str) -> Vec<BTreeMap<String, String>> {
    let of_span = |block: &str| {
        let lines = block.lines().skip(1).take_while(|line| line.starts_with([' ', '\t']) || line.contains(':'));
        let fields = lines.filter_map(|line| line.trim().trim_start_matches("-> ").split_once(": "));
        let mut span = BTreeMap::new();
        for (name, value) in fields {
            span.entry(name.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
        }
        span
    };
    printed.split("\nSpan #").skip(1).map(of_span).collect()
}

fn the_collector_understands(protocol: &str, at: usize) {
    let home = Home::default();
    let (plan, output) = (home.file("seen.yaml", PLAN), home.file("output", ""));
    let collector = Collector::start(&output);
    let ran = home
        .command(&["run", &plan.to_string_lossy()])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.addresses[at]))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("TRACEPARENT", format!("00-{TRACE}-{CLIENT}-01"))
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran));
    let read = || std::fs::read_to_string(&output).unwrap();
    eventually("the Collector printed all", Duration::from_secs(30), || {
        let printed = read();
        printed.contains("-> Name: aidt.steps") && printed.matches(": apply finished").count() >= 2
    });
    let printed = read();
    let run: Vec<_> = spans(&printed).into_iter().filter(|span| span["Trace ID"] == TRACE).collect();
    let count = |name: &str| run.iter().filter(|span| span["Name"] == name).count();
    for name in ["POST /v1/runs", "submit start", "apply start"] {
        assert_eq!(count(name), 1, "{name} in {run:#?}");
    }
    for name in ["publish default", "process default", "call debug.echo", "execute debug.echo", "apply finished"] {
        assert_eq!(count(name), 2, "{name} in {run:#?}");
    }
    let ids: BTreeSet<&str> = run.iter().map(|span| span["ID"].as_str()).chain([CLIENT]).collect();
    for span in &run {
        assert!(ids.contains(span["Parent ID"].as_str()), "the parent of {span:#?} is missing");
    }
    let process = run.iter().find(|span| span["Name"] == "process default").unwrap();
    assert_eq!((process["Kind"].as_str(), process["messaging.system"].as_str()), ("Consumer", "Str(aidt_memory)"));
    for metric in ["aidt.steps", "aidt.runs", "aidt.turn.duration", "http.server.request.duration"] {
        assert!(printed.contains(&format!("-> Name: {metric}\n")), "{metric} was not printed");
    }
    for resource in ["service.name: Str(aidt)", "service.instance.id: Str(proc_"] {
        assert!(printed.contains(resource), "{resource} was not printed");
    }
}

#[test]
fn the_collector_understands_grpc() {
    the_collector_understands("grpc", 0);
}

#[test]
fn the_collector_understands_http() {
    the_collector_understands("http/protobuf", 1);
}
