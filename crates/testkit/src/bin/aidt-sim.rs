//! `cargo xtask sim`: many seeds of the simulation, and the replay of the first that fails.

use aidt_testkit::{Options, Plant, Summary, catch, run, sweep};
use clap::Parser as _;
use std::process::ExitCode;

#[derive(clap::Parser)]
#[command(name = "cargo xtask sim", about = "Runs simulated worlds, or sees that a planted fault is caught")]
struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Put this fault in, and run until it is caught
    #[arg(long)]
    plant: Option<Plant>,
    /// List the faults that can be put in, one a line
    #[arg(long)]
    list_plants: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.list_plants {
        Plant::ALL.iter().for_each(|plant| println!("{plant}"));
        return ExitCode::SUCCESS;
    }
    match args.plant {
        Some(plant) => planted(plant, &args),
        None => unplanted(&args),
    }
}

fn planted(plant: Plant, args: &Args) -> ExitCode {
    match catch(plant, args.seed, args.seeds) {
        Some(caught) => {
            println!("caught {plant} after {} seeds: {} is broken", caught.seeds, caught.invariant);
            println!("seed {}: {}", caught.seed, caught.why);
            ExitCode::SUCCESS
        }
        None => {
            println!("{plant} was not caught in {} seeds; it should break {}", args.seeds, plant.breaks());
            ExitCode::FAILURE
        }
    }
}

fn unplanted(args: &Args) -> ExitCode {
    let summary = sweep(args.seed, args.seeds);
    let failed = summary.failed.as_ref().map(|failed| failed.seed);
    if let Some(seed) = failed {
        replay(seed);
    } else {
        print_histogram(&summary);
    }
    match failed {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    }
}

/// Commands, faults and events with their times, then what broke.
fn replay(seed: u64) {
    let report = run(Options { seed, tracing: true, plant: None });
    report.lines.iter().for_each(|line| println!("{line}"));
    println!();
    for (invariant, why) in &report.broken {
        println!("seed {seed} breaks {invariant}: {why}");
    }
    println!("replay: cargo xtask sim --seeds 1 --seed {seed}");
}

fn print_histogram(summary: &Summary) {
    let most = summary.counts.values().copied().max().unwrap_or(1).max(1);
    for ((kind, name), n) in &summary.counts {
        // A bar of 40 at most, on a logarithmic scale: the rare ones matter too.
        let length = ((*n as f64 + 1.0).ln() / (most as f64 + 1.0).ln() * 40.0).round() as usize;
        println!("{kind:>8} {name:<18} {n:>10} {}", "#".repeat(length));
    }
    println!();
    println!(
        "{} seeds: every invariant held; each applied at least {} commands and suffered at least {} faults",
        summary.seeds, summary.fewest_commands, summary.fewest_faults
    );
}
