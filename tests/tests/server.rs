//! `aidt serve` with every service in one process, over a file.

#![expect(clippy::disallowed_methods, reason = "tests live outside: in real time, with real processes")]

use aidt_tests::{Stage, eventually, suite};
use std::time::{Duration, Instant};

aidt_tests::suite!(Stage::embedded);

#[test]
fn a_step_that_outlasts_the_drain_keeps_no_process_from_ending() {
    const DRAIN: u64 = 4;
    let stage = Stage::embedded().with("AIDT_DRAIN_SECONDS", DRAIN.to_string());
    let server = stage.up();
    let run = server.submit(&suite::sleeper(60_000));
    eventually("it runs", Duration::from_secs(20), || server.events(&run).iter().any(|e| e["kind"] == "step_started"));
    let told = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    // A busy machine takes its own time; the exit code tells that the drain was enough.
    assert!(told.elapsed() < Duration::from_secs(2 * DRAIN), "{:?}", told.elapsed());
    let server = stage.up();
    // Handed back, so no attempt is spent.
    eventually("it runs again", Duration::from_secs(20), || {
        server.events(&run).iter().filter(|e| e["kind"] == "step_started").count() == 2
    });
    let failed = server.events(&run).iter().any(|e| e["kind"] == "step_failed");
    assert!(!failed, "{:#?}", server.events(&run));
}
