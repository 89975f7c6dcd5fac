//! The same seed twice is the same history.

use aidt_testkit::{Options, run};

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 1..=40 {
        let options = Options { seed, tracing: true, ..Options::default() };
        let (first, second) = (run(options), run(options));
        for (n, (a, b)) in first.lines.iter().zip(&second.lines).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {n}");
        }
        assert_eq!(first.lines.len(), second.lines.len(), "seed {seed}");
        assert_eq!((first.digest, first.counts), (second.digest, second.counts), "seed {seed}");
    }
}

#[test]
fn tracing_changes_nothing() {
    let quiet = run(Options { seed: 7, ..Options::default() });
    let traced = run(Options { seed: 7, tracing: true, ..Options::default() });
    assert_eq!((quiet.digest, quiet.counts), (traced.digest, traced.counts));
    assert!(!traced.lines.is_empty() && quiet.lines.is_empty());
}

#[test]
fn another_seed_is_another_history() {
    let digest = |seed| run(Options { seed, ..Options::default() }).digest;
    assert_ne!(digest(1), digest(2));
}
