//! The page in docs/reference.

use crate::removals::{REMOVALS, found};
use crate::scenarios::{SCENARIOS, walked};
use std::fmt::Write as _;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/model.md");
const TEXT: &str = include_str!("page.md");

fn page() -> String {
    let mut removals = String::from("| instead of the rule | refuted | actions |\n|---|---|---|\n");
    for removal in &REMOVALS {
        for (property, actions) in removal.refuted.iter().zip(found(removal)) {
            writeln!(removals, "| {} | {property} | {actions} |", removal.instead).unwrap();
        }
    }
    let mut scenarios = String::from("| bounds | states | depth |\n|---|---|---|\n");
    for index in 0..SCENARIOS.len() {
        let (name, walked) = walked(index);
        writeln!(scenarios, "| {name} | {} | {} |", walked.unique, walked.depth).unwrap();
    }
    let [waits, fails] = crate::limits::lost_result();
    TEXT.replace("{removals}", removals.trim_end())
        .replace("{scenarios}", scenarios.trim_end())
        .replace("{waits}", &waits.to_string())
        .replace("{fails}", &fails.to_string())
}

#[test]
fn the_page_is_current() {
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/reference/model.md is not current: see its second line");
}
