//! A run's traces and metrics, as a collector gets them: the same whichever stack it ran on.

#![expect(clippy::missing_panics_doc, reason = "a test fails by panicking")]

use crate::tree::{Tree, a_step_is_traced, has, linked, under};
use crate::{Collector, Running, SeenSpan, Server, Stage, request};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Makes a test of each body, on a fresh stage from this function.
#[macro_export]
macro_rules! suite_traces {
    ($stage:path) => {
        $crate::suite_traces!($stage:
            a_run_is_one_trace_over_grpc,
            a_run_is_one_trace_over_http,
            every_process_shows_its_metrics,
            what_a_person_retries_goes_on_in_their_trace_linked_to_the_first,
            what_is_not_sampled_leaves_no_trace
        );
    };
    ($stage:path: $($name:ident),+) => {
        $(#[test]
        fn $name() {
            $crate::suite_traces::$name($stage());
        })+
    };
}

/// The trace that the tests' client is a part of.
pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";
const SECOND: &str = "5bf92f3577b34da6a3ce929d0e0e4737";
const SECRET: &str = "nobody-may-see-this";
const SOON: Duration = Duration::from_secs(30);

/// Metrics that only show when something went wrong.
const RARE: [&str; 5] = [
    "aidt_partitions_lost_total",
    "aidt_messages_redelivered_total",
    "aidt_messages_republished_total",
    "aidt_dead_letters_total",
    "aidt_telemetry_spans_dropped_total",
];

fn sampled(trace: &str) -> String {
    format!("00-{trace}-{CLIENT}-01")
}

fn submit(server: &Server, traceparent: &str, plan: &Value) -> String {
    let headers = [("traceparent", traceparent)];
    let reply = request(&server.address, "POST", "/v1/runs", &headers, Some(&json!({ "plan": plan })));
    assert_eq!(reply.status, 202, "{}", reply.body);
    reply.json()["id"].as_str().unwrap().to_owned()
}

/// Three steps in a row; the last is slow enough to be claimed.
fn plan() -> Value {
    json!({"name": "traced", "steps": [
        {"id": "a", "tool": "debug.echo", "with": {"value": SECRET}},
        {"id": "b", "tool": "debug.echo", "with": {"value": "${{ steps.a.output.value }}"}},
        {"id": "c", "tool": "debug.sleep", "needs": ["b"], "with": {"ms": 200}}
    ]})
}

/// So many steps ran and are recorded, and what their spans stand under has arrived: a span arrives when it
/// ends, whichever process that is in.
fn is_whole(spans: &[SeenSpan], trace: &str, steps: usize) -> bool {
    let spans: Vec<&SeenSpan> = spans.iter().filter(|span| span.trace == trace).collect();
    let known: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).chain([CLIENT]).collect();
    let count = |name: &str| spans.iter().filter(|span| span.name.starts_with(name)).count();
    count("apply finished") == steps
        && count("execute ") == steps
        && spans.iter().all(|span| known.contains(span.parent.as_str()))
}

/// Submits, waits for the end, and answers the run and its whole trace.
#[must_use]
pub fn traced_run(server: &Server, collector: &Collector) -> (String, Vec<SeenSpan>) {
    let run = submit(server, &sampled(TRACE), &plan());
    server.until(&run, &["done"]);
    let all = collector.until("the trace of the run", SOON, |spans| is_whole(spans, TRACE, 3));
    assert!(!format!("{all:?}").contains(SECRET), "an argument is in a span");
    (run, all.into_iter().filter(|span| span.trace == TRACE).collect())
}

/// From the client's request to the record of the last step.
pub fn a_run_is_one_trace_over_grpc(stage: Stage) {
    a_run_is_one_trace(stage, "grpc");
}

/// The same.
pub fn a_run_is_one_trace_over_http(stage: Stage) {
    a_run_is_one_trace(stage, "http/protobuf");
}

fn a_run_is_one_trace(stage: Stage, protocol: &str) {
    let collector = Collector::start();
    let stage = stage.seen_by(&collector, protocol);
    let server = stage.up();
    let (run, spans) = traced_run(&server, &collector);
    let tree = Tree { spans: &spans, broker: stage.broker };

    let post = tree.one("POST /v1/runs", None);
    assert_eq!((post.kind, post.parent.as_str(), post.scope.as_str()), ("server", CLIENT, "aidt-gateway"));
    has(post, &[("http.request.method", "POST"), ("http.route", "/v1/runs"), ("http.response.status_code", "202")]);
    let submit = tree.one("submit start", None);
    under(submit, post);
    has(submit, &[("aidt.run.id", &run), ("aidt.project", "default")]);
    let start = tree.one("apply start", None);
    under(start, submit);
    linked(start, submit);
    assert_eq!((start.kind, start.scope.as_str()), ("consumer", "aidt-completion-consumer"));

    let mut before = start;
    for (step, tool) in [("a", "debug.echo"), ("b", "debug.echo"), ("c", "debug.sleep")] {
        before = a_step_is_traced(&tree, before, &run, step, tool);
    }
    let slow = tree.of_step("process ", "c");
    let claim = spans.iter().find(|span| span.name == "claim" && span.parent == slow.id);
    let claim = claim.unwrap_or_else(|| panic!("{slow:#?} was not claimed: {:#?}", tree.names()));
    has(claim, &[("aidt.run.id", &run)]);

    for span in &spans {
        assert!(!span.failed, "{span:#?}");
        let service = if stage.is_apart() { span.scope.as_str() } else { "aidt" };
        assert_eq!(span.service, service, "{span:#?}");
    }
    crate::eventually("metrics are pushed", SOON, || {
        let names = collector.metrics();
        ["aidt.steps", "aidt.turns", "http.server.request.duration"].iter().all(|n| names.contains(&(*n).to_owned()))
    });
}

/// `GET /metrics` of each: together they show all that the page lists, and nothing else.
pub fn every_process_shows_its_metrics(stage: Stage) {
    let mut server = stage.up();
    let run = server.submit(&plan());
    server.until(&run, &["done"]);
    let listed = listed_metrics();
    let rare: BTreeSet<String> = RARE.map(str::to_owned).into();
    assert!(listed.is_superset(&rare));
    let mut shown = BTreeSet::new();
    crate::eventually("all metrics are shown", SOON, || {
        shown = server.all().into_iter().flat_map(|process| shown_metrics(process)).collect();
        listed.difference(&shown).all(|name| rare.contains(name))
    });
    assert_eq!(shown.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "the page does not list these");
    assert_counted(&mut server, "aidt_runs_total{aidt_run_state=\"done\"}", 1.0);
    assert_counted(&mut server, "aidt_decisions_total{aidt_verdict=\"allow\"}", 3.0);
}

/// The metrics of the page, as they are called in text.
fn listed_metrics() -> BTreeSet<String> {
    let page = include_str!("../../docs/reference/telemetry.md");
    let rows = page.lines().map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>());
    let metrics = rows.filter(|row| row.len() > 3 && ["counter", "gauge", "histogram"].contains(&row[2]));
    let text = metrics.map(|row| {
        let seconds = if row[3] == "s" { "_seconds" } else { "" };
        let total = if row[2] == "counter" { "_total" } else { "" };
        format!("{}{seconds}{total}", row[1].replace('.', "_"))
    });
    text.collect()
}

/// What a process shows, as its `TYPE` lines say; each line is well formed.
fn shown_metrics(process: &Server) -> BTreeSet<String> {
    let reply = process.get("/metrics");
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.body.contains("\ntarget_info{"), "a process says what it is:\n{}", reply.body);
    for line in reply.body.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
    }
    let types = reply.body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    types.filter(|name| *name != "target_info").map(str::to_owned).collect()
}

fn assert_counted(server: &mut Running, series: &str, wanted: f64) {
    let value = |process: &mut Server| {
        let text = process.get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(series).map(|rest| rest.trim().to_owned()));
        line.map_or(0.0, |value| value.parse::<f64>().unwrap())
    };
    let sum: f64 = server.all().into_iter().map(value).sum();
    assert!((sum - wanted).abs() < f64::EPSILON, "{series} is {sum}, not {wanted}");
}

/// It is another part of the run's story: in the trace of the request, linked to the run's first.
pub fn what_a_person_retries_goes_on_in_their_trace_linked_to_the_first(stage: Stage) {
    let collector = Collector::start();
    let stage = stage.seen_by(&collector, "grpc");
    let server = stage.up();
    let plan = json!({"name": "failing", "steps": [{"id": "a", "tool": "debug.fail", "with": {"message": SECRET}}]});
    let run = submit(&server, &sampled(TRACE), &plan);
    server.until(&run, &["failed"]);
    let (path, second) = (format!("/v1/runs/{run}/retry"), sampled(SECOND));
    let reply = request(&server.address, "POST", &path, &[("traceparent", &second)], Some(&json!({})));
    assert_eq!(reply.status, 200, "{}", reply.body);
    let both = |spans: &[SeenSpan]| is_whole(spans, TRACE, 1) && is_whole(spans, SECOND, 1);
    let all = collector.until("both traces", SOON, both);
    let of = |trace: &str| all.iter().filter(|s| s.trace == trace).cloned().collect::<Vec<_>>();
    let (first, second) = (of(TRACE), of(SECOND));
    let [first, second] = [&first, &second].map(|spans| Tree { spans, broker: stage.broker });
    let retry = second.one("apply retry", None);
    linked(retry, first.one("submit start", None));
    let asked = second.one("submit retry", None);
    under(asked, second.one("POST /v1/runs/{run}/retry", None));
    under(retry, asked);
    let call = second.one("call debug.fail", Some("a"));
    assert!(call.failed, "{call:#?}");
    has(call, &[("aidt.dispatch", "2"), ("aidt.outcome", "failed")]);
    assert!(!format!("{all:?}").contains(SECRET), "a message of a tool is in a span");
    let finished = first.one("apply finished", Some("a"));
    assert!(finished.end <= retry.start, "the first trace ended before the second began");
}

/// What is sampled is sent by each process before it ends.
pub fn what_is_not_sampled_leaves_no_trace(stage: Stage) {
    let collector = Collector::start();
    let stage = stage.seen_by(&collector, "http/protobuf").with("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let stage = stage.with("OTEL_TRACES_SAMPLER", "parentbased_traceidratio").with("OTEL_TRACES_SAMPLER_ARG", "0");
    let server = stage.up();
    let off = submit(&server, &format!("00-{SECOND}-{CLIENT}-00"), &plan());
    let drawn = server.submit(&plan());
    server.until(&off, &["done"]);
    server.until(&drawn, &["done"]);
    let on = submit(&server, &sampled(TRACE), &plan());
    server.until(&on, &["done"]);
    assert_eq!(server.terminate(), Some(0), "what waits is sent at the end");
    let spans = collector.spans();
    assert!(is_whole(&spans, TRACE, 3), "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
}
