//! Traces and metrics of the embedded stack.

use aidt_tests::{Home, Stage, suite::chain, suite_traces};

suite_traces!(Stage::embedded);

#[test]
fn a_collector_that_is_not_there_changes_nothing() {
    let home = Home::default();
    let vars = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let server = home.serve_with(&[], &vars);
    let run = server.submit(&chain(3));
    server.until(&run, &["done"]);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_filter_of_the_log_that_is_none_is_refused() {
    let home = Home::default();
    let output = home.command(&["tools", "ls"]).env("AIDT_LOG", "verbose").output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("AIDT_LOG is 'verbose': give off, error, warn, info, debug or trace"), "{said}");
}
