//! Every pair of state and input, walked; the page in docs/reference is written from the tables.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use aidt_domain::{RunState, StepState};
use aidt_engine::{RUN_TABLE, RunInput, STEP_TABLE, StepInput};
use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/states.md");

fn grid<S: Copy + Debug + PartialEq + std::fmt::Display, I: Copy + Debug + PartialEq>(
    states: &[S],
    inputs: &[I],
    table: &[(S, I, S)],
) -> String {
    let mut out = String::from("| state |");
    inputs.iter().for_each(|i| write!(out, " {i:?} |").unwrap());
    out.push_str("\n|---|");
    inputs.iter().for_each(|_| out.push_str("---|"));
    for &s in states {
        write!(out, "\n| `{s}` |").unwrap();
        for &i in inputs {
            match table.iter().find(|t| t.0 == s && t.1 == i) {
                Some((_, _, to)) => write!(out, " `{to}` |").unwrap(),
                None => out.push_str(" |"),
            }
        }
    }
    out.push('\n');
    out
}

fn page() -> String {
    format!(
        "# States of runs and steps\n\nWritten from the engine's transition tables by `UPDATE_DOCS=1 cargo test -p \
         aidt-engine --test tables`; do not edit. An empty cell: the input changes nothing in that state, and a \
         command from outside is refused with an event.\n\n## Runs\n\n{}\n## Steps\n\n{}",
        grid(RunState::ALL, RunInput::ALL, RUN_TABLE),
        grid(StepState::ALL, StepInput::ALL, STEP_TABLE),
    )
}

#[test]
fn the_page_is_current() {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, page()).unwrap();
    }
    let written = std::fs::read_to_string(Path::new(PAGE)).unwrap_or_default();
    assert!(written == page(), "docs/reference/states.md is not current: see its first line");
}

#[test]
fn each_pair_leads_to_one_state() {
    let runs: BTreeSet<_> = RUN_TABLE.iter().map(|t| (t.0, t.1)).collect();
    assert_eq!(runs.len(), RUN_TABLE.len());
    let steps: BTreeSet<_> = STEP_TABLE.iter().map(|t| (t.0, t.1)).collect();
    assert_eq!(steps.len(), STEP_TABLE.len());
}

#[test]
fn what_ended_is_only_reopened_by_a_person() {
    for (from, input, _) in STEP_TABLE.iter().filter(|t| t.0.is_terminal()) {
        assert_eq!(*input, StepInput::Reopened, "{from}");
    }
    for (from, input, _) in RUN_TABLE.iter().filter(|t| t.0.is_terminal()) {
        assert_eq!(*input, RunInput::Reopened, "{from}");
    }
}

#[test]
fn every_state_that_is_entered_can_be_left() {
    let entered: BTreeSet<_> = STEP_TABLE.iter().map(|t| t.2).collect();
    for state in entered {
        assert!(STEP_TABLE.iter().any(|t| t.0 == state), "{state}");
    }
}

#[test]
fn an_unknown_outcome_never_becomes_ready_by_itself() {
    for (_, input, to) in STEP_TABLE.iter().filter(|t| t.0 == StepState::Unknown) {
        assert!(*to != StepState::Ready && *to != StepState::BackingOff, "{input:?}");
    }
}
