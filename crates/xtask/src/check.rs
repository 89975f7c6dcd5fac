//! `cargo xtask check`: what CI wants beyond the tests.

use crate::sh;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Lines that a source file may have; 300 is long already.
const MAX_LINES: usize = 500;

/// Files that may be longer, and why.
const LONGER: &[(&str, &str)] = &[];

/// Which crates of ours each crate may depend on (beyond `aidt-domain`, which all may). Dev-dependencies
/// are free. Adapters depend on their port only; services on ports, never on adapters or each other; only
/// the binary wires.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("aidt-domain", &[]),
    ("aidt-expr", &[]),
    ("aidt-plan", &["aidt-expr"]),
    ("aidt-engine", &["aidt-expr"]),
    ("aidt-store", &[]),
    ("aidt-queue", &[]),
    ("aidt-lock", &[]),
    ("aidt-artifacts", &[]),
    ("aidt-artifacts-s3", &["aidt-artifacts"]),
    ("aidt-policy", &[]),
    ("aidt-grants", &[]),
    ("aidt-proto", &[]),
    ("aidt-runtime", &[]),
    ("aidt-telemetry", &[]),
    ("aidt-tools", &["aidt-artifacts"]),
    ("aidt-store-sqlite", &["aidt-store"]),
    ("aidt-store-postgres", &["aidt-store"]),
    ("aidt-lock-redis", &["aidt-lock"]),
    ("aidt-queue-kafka", &["aidt-queue"]),
    ("aidt-queue-rabbitmq", &["aidt-queue"]),
    ("aidt-client", &["aidt-plan"]),
    ("aidt-cli", &["aidt-client", "aidt-plan", "aidt-bench"]),
    ("aidt-bench", &["aidt-client"]),
    (
        "aidt-completion-consumer",
        &[
            "aidt-engine",
            "aidt-expr",
            "aidt-policy",
            "aidt-grants",
            "aidt-proto",
            "aidt-artifacts",
            "aidt-store",
            "aidt-queue",
            "aidt-lock",
            "aidt-telemetry",
        ],
    ),
    (
        "aidt-step-consumer",
        &[
            "aidt-policy",
            "aidt-grants",
            "aidt-proto",
            "aidt-artifacts",
            "aidt-store",
            "aidt-queue",
            "aidt-lock",
            "aidt-telemetry",
        ],
    ),
    ("aidt-tool-worker", &["aidt-proto", "aidt-grants", "aidt-tools", "aidt-telemetry"]),
    (
        "aidt-gateway",
        &[
            "aidt-plan",
            "aidt-expr",
            "aidt-engine",
            "aidt-policy",
            "aidt-proto",
            "aidt-artifacts",
            "aidt-store",
            "aidt-queue",
            "aidt-lock",
            "aidt-telemetry",
        ],
    ),
];

/// Crates that may depend on anything.
const FREE: &[&str] = &["aidt", "aidt-model", "aidt-servers", "aidt-testkit", "xtask", "aidt-tests"];

/// Everything, all failures told.
pub(crate) fn run() -> Result<()> {
    let root = crate::root()?;
    let mut failed = Vec::new();
    let mut note = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            eprintln!("✗ {what}: {error:#}");
            failed.push(what.to_owned());
        } else {
            println!("✓ {what}");
        }
    };
    note("formatting", sh(&root, "cargo", &["fmt", "--all", "--", "--check"]));
    let features = format!("{},aidt-tests/chaos,aidt-tests/python", crate::build::servers(&root)?);
    let lints = ["clippy", "--workspace", "--all-targets", "--features", &features, "--quiet", "--", "-D", "warnings"];
    note("lints", sh(&root, "cargo", &lints));
    let metadata = metadata(&root)?;
    note("crate directions", directions(&metadata));
    note("licences", licences(&root, &metadata));
    note("file lengths", lengths(&root));
    note("no paths of a machine", machine_paths(&root));
    if failed.is_empty() { Ok(()) } else { bail!("{} checks failed: {}", failed.len(), failed.join(", ")) }
}

fn metadata(root: &Path) -> Result<Value> {
    let output = std::process::Command::new("cargo")
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn directions(metadata: &Value) -> Result<()> {
    let table: BTreeMap<&str, &[&str]> = DIRECTIONS.iter().copied().collect();
    let ours: BTreeSet<&str> =
        packages(metadata).filter(|p| p["source"].is_null()).filter_map(|p| p["name"].as_str()).collect();
    let mut wrong = Vec::new();
    for package in packages(metadata).filter(|p| p["source"].is_null()) {
        let name = package["name"].as_str().unwrap_or_default();
        if FREE.contains(&name) {
            continue;
        }
        let Some(allowed) = table.get(name) else {
            wrong.push(format!("{name} is not in the table of directions (crates/xtask/src/check.rs)"));
            continue;
        };
        let uses = package["dependencies"].as_array().into_iter().flatten();
        let uses = uses.filter(|d| d["kind"] != "dev").filter_map(|d| d["name"].as_str());
        for used in uses.filter(|d| ours.contains(d) && *d != "aidt-domain" && !allowed.contains(d)) {
            wrong.push(format!("{name} must not depend on {used}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("; ")) }
}

/// Every third-party licence expression can be met with what `deny.toml` allows.
fn licences(root: &Path, metadata: &Value) -> Result<()> {
    let deny = std::fs::read_to_string(root.join("deny.toml"))?;
    let list = deny.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    let allowed: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    let unmet: Vec<String> = packages(metadata)
        .filter(|p| !p["source"].is_null())
        .filter(|p| !p["license"].as_str().is_some_and(|l| is_met(l, &allowed)))
        .map(|p| format!("{} ({})", p["name"].as_str().unwrap_or("?"), p["license"]))
        .collect();
    if unmet.is_empty() { Ok(()) } else { bail!("not allowed by deny.toml: {}", unmet.join(", ")) }
}

/// `A OR B` needs one, `A AND B` both; parentheses only ever group ORs here.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let one = |id: &str| {
        let id = id.trim().trim_matches(['(', ')']);
        allowed.contains(id) || id.split_once(" WITH ").is_some_and(|(id, _)| allowed.contains(id))
    };
    let any = |alternatives: &str| alternatives.replace('/', " OR ").split(" OR ").any(one);
    expression.split(" AND ").all(any)
}

fn tracked(root: &Path) -> Result<Vec<String>> {
    let output =
        std::process::Command::new("git").current_dir(root).args(["ls-files"]).output().context("git ls-files")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn lengths(root: &Path) -> Result<()> {
    let mut long = Vec::new();
    for file in tracked(root)?.iter().filter(|f| f.ends_with(".rs") && f.contains("/src/")) {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines().count();
        if lines > MAX_LINES && !LONGER.iter().any(|(name, _)| name == file) {
            long.push(format!("{file} ({lines})"));
        }
    }
    if long.is_empty() { Ok(()) } else { bail!("over {MAX_LINES} lines: {}", long.join(", ")) }
}

fn machine_paths(root: &Path) -> Result<()> {
    // Put together here, so that this file does not name them itself.
    let homes = [["/ro", "ot/"].concat(), ["/wo", "rk/"].concat(), ["/ho", "me/"].concat()];
    let mut found = Vec::new();
    for file in tracked(root)? {
        let Ok(text) = std::fs::read_to_string(root.join(&file)) else { continue };
        for (n, line) in text.lines().enumerate() {
            if homes.iter().any(|h| line.contains(h.as_str())) {
                found.push(format!("{file}:{}", n + 1));
            }
        }
    }
    if found.is_empty() { Ok(()) } else { bail!("{}", found.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"].into();
        for ok in [
            "MIT",
            "MIT OR GPL-3.0",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_met(ok, &allowed), "{ok}");
        }
        assert!(!is_met("GPL-3.0", &allowed));
        assert!(!is_met("MIT AND GPL-3.0", &allowed));
    }

    #[test]
    fn every_entry_of_the_table_names_a_crate_of_the_table() {
        let known: BTreeSet<&str> = DIRECTIONS.iter().map(|(name, _)| *name).collect();
        for (name, uses) in DIRECTIONS {
            for used in *uses {
                assert!(known.contains(used), "{name} uses {used}");
            }
        }
    }
}
