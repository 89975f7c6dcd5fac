//! 2,000 worlds, in each of which everything holds.

use aidt_testkit::{Options, run, sweep};

#[test]
fn everything_holds_in_2000_worlds() {
    let summary = sweep(1, 2_000);
    if let Some(failed) = summary.failed {
        let traced = run(Options { seed: failed.seed, tracing: true, ..Options::default() });
        panic!("seed {}: {:#?}\n{}", failed.seed, failed.broken, traced.lines.join("\n"));
    }
    for ((kind, name), n) in &summary.counts {
        println!("{kind:>8} {name:<20} {n:>9}");
    }
    assert_eq!(summary.seeds, 2_000);
    assert!(summary.fewest_commands >= 50, "{}", summary.fewest_commands);
    assert!(summary.fewest_faults >= 1);
}
