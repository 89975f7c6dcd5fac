//! Faults under load. `cargo xtask chaos` runs it with servers of its own and says what it wants here in the
//! environment; without that it is the short form.

#![expect(clippy::disallowed_methods, reason = "tests live outside: in real time, with real processes")]

use aidt_tests::chaos::{Series, Stack};
use std::sync::{Mutex, PoisonError};

/// What CI runs.
const SEED: u64 = 2_611;

/// One stack at a time: they share servers, and a machine.
static TURN: Mutex<()> = Mutex::new(());

fn run(stack: Stack) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let told = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let number = |name: &str| told(name).map(|value| value.parse::<u64>().unwrap_or_else(|e| panic!("{name}: {e}")));
    let rounds = number("AIDT_CHAOS_ROUNDS");
    let series = Series {
        seed: number("AIDT_CHAOS_SEED").unwrap_or(SEED),
        rounds: rounds.map_or(1, |rounds| u32::try_from(rounds).expect("a number of rounds")),
        only: told("AIDT_CHAOS_ONLY"),
        short: rounds.is_none(),
    };
    series.run(stack);
}

#[test]
fn rabbitmq() {
    run(Stack::Rabbitmq);
}

#[test]
fn kafka() {
    run(Stack::Kafka);
}

#[test]
fn embedded() {
    run(Stack::Embedded);
}
