//! What was measured.

use crate::{Counters, Raw, Servers, Workload};
use serde::Serialize;
use std::fmt;

/// What was measured. Times are of the median round, `cpu_seconds` and `counts` the mean of all rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The load.
    pub workload: Workload,
    /// Steps of a round.
    pub steps: usize,
    /// From the first POST until the client saw the last run done; w3: of its runs, one after the other.
    pub seconds: f64,
    /// Of the median round.
    pub steps_per_s: f64,
    /// w1: from a run's POST until it was seen done. w3: a step, as a tenth of that.
    pub p50_ms: f64,
    /// The same, for the slowest of a hundred.
    pub p99_ms: f64,
    /// Of our processes, the client included; null where there is no `/proc`.
    pub cpu_seconds: Option<f64>,
    /// The most that was ever resident in one of our processes.
    pub peak_rss_mib: Option<f64>,
    /// Trace spans recorded; 0 while tracing is off.
    pub spans: u64,
    /// What the store did, if it is in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// What the disk can do.
    pub raw: Raw,
    /// What swings least.
    pub ratios: Ratios,
    /// What the servers used and can do, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Servers>,
}

/// What the store did in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// SQL statements executed.
    pub statements: u64,
    /// Rows inserted, updated and deleted.
    pub rows: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// Times that the disk was waited for.
    pub fsyncs: u64,
}

/// What swings least.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratios {
    /// CPU seconds of our processes for 10,000 steps.
    pub cpu_seconds_per_10k_steps: Option<f64>,
    /// What the store did, if it is in this process.
    #[serde(flatten)]
    pub per_step: Option<PerStep>,
    /// Steps/s, as a share of the single-row commits/s of the same disk.
    pub steps_per_raw_commit: f64,
    /// p50 in times of one fsync.
    pub p50_per_fsync: f64,
}

/// What the store did for a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PerStep {
    /// Statements of a step.
    pub statements_per_step: f64,
    /// Rows of a step.
    pub rows_per_step: f64,
    /// Transactions of a step.
    pub transactions_per_step: f64,
    /// Waits for the disk of a step.
    pub fsyncs_per_step: f64,
}

/// What the rounds gave, before it is put into a report.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// Of each round.
    pub(crate) seconds: Vec<f64>,
    /// Of each run (w1) or step (w3) of every round.
    pub(crate) millis: Vec<f64>,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) counters: Option<Counters>,
}

impl Report {
    pub(crate) fn of(workload: Workload, steps: usize, mut rounds: Rounds, raw: Raw, peak: Option<f64>) -> Self {
        let count = rounds.seconds.len().max(1);
        rounds.seconds.sort_unstable_by(f64::total_cmp);
        rounds.millis.sort_unstable_by(f64::total_cmp);
        let seconds = quantile(&rounds.seconds, 0.5);
        let (p50_ms, p99_ms) = (quantile(&rounds.millis, 0.5), quantile(&rounds.millis, 0.99));
        let steps_per_s = if seconds > 0.0 { steps as f64 / seconds } else { 0.0 };
        let all = (steps * count) as f64;
        let mean = |total: u64| (total as f64 / count as f64).round() as u64;
        Self {
            workload,
            steps,
            seconds,
            steps_per_s,
            p50_ms,
            p99_ms,
            cpu_seconds: rounds.cpu_seconds.map(|cpu| cpu / count as f64),
            peak_rss_mib: peak,
            spans: rounds.counters.map_or(0, |counters| mean(counters.spans)),
            counts: rounds.counters.map(|counters| Counts {
                statements: mean(counters.statements),
                rows: mean(counters.rows),
                transactions: mean(counters.transactions),
                fsyncs: mean(counters.fsyncs),
            }),
            raw,
            ratios: Ratios {
                cpu_seconds_per_10k_steps: rounds.cpu_seconds.map(|cpu| cpu * 10_000.0 / all),
                per_step: rounds.counters.map(|counters| PerStep {
                    statements_per_step: counters.statements as f64 / all,
                    rows_per_step: counters.rows as f64 / all,
                    transactions_per_step: counters.transactions as f64 / all,
                    fsyncs_per_step: counters.fsyncs as f64 / all,
                }),
                steps_per_raw_commit: steps_per_s / raw.sqlite_commits_per_s,
                p50_per_fsync: p50_ms / raw.fsync_ms,
            },
            servers: None,
        }
    }
}

/// Of sorted values; the nearest rank.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counts, raw, ratios, .. } = self;
        let what = match self.workload {
            Workload::W1 | Workload::Queued => "a run, submitted with all others",
            Workload::W3 => "a step of an idle run",
        };
        let maybe = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |v| format!("{v:.3}"));
        writeln!(f, "{}: {} steps in {:.3} s", self.workload, self.steps, self.seconds)?;
        writeln!(f, "  {:>12.0} steps/s", self.steps_per_s)?;
        writeln!(f, "  {:>12.3} ms p50, {:.3} ms p99: {what}", self.p50_ms, self.p99_ms)?;
        writeln!(f, "  {:>12} CPU s per 10,000 steps, client included", maybe(ratios.cpu_seconds_per_10k_steps))?;
        writeln!(f, "  {:>12} MiB resident at most", maybe(self.peak_rss_mib))?;
        if let (Some(counts), Some(per_step)) = (counts, ratios.per_step) {
            let per = [
                (per_step.statements_per_step, "statements", counts.statements),
                (per_step.rows_per_step, "rows", counts.rows),
                (per_step.transactions_per_step, "transactions", counts.transactions),
                (per_step.fsyncs_per_step, "fsyncs", counts.fsyncs),
            ];
            for (value, name, total) in per {
                writeln!(f, "  {value:>12.3} {name} a step ({total} a round)")?;
            }
        }
        if let Some(servers) = &self.servers {
            return servers.fmt(f);
        }
        writeln!(f, "this disk, alone, in the same run:")?;
        let steps_per = ratios.steps_per_raw_commit;
        writeln!(
            f,
            "  {:>12.0} SQLite commits/s of one row; steps/s are {steps_per:.2} of it",
            raw.sqlite_commits_per_s
        )?;
        write!(f, "  {:>12.3} ms for one fsync", raw.fsync_ms)?;
        match self.workload {
            Workload::W1 | Workload::Queued => Ok(()),
            Workload::W3 => write!(f, "; p50 is {:.1} of it", ratios.p50_per_fsync),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let rounds = Rounds {
            seconds: vec![0.3, 0.1, 0.2],
            millis: (1..=100).map(f64::from).collect(),
            cpu_seconds: Some(0.6),
            counters: Some(Counters { statements: 6000, rows: 12_000, transactions: 300, fsyncs: 300, spans: 0 }),
        };
        let raw = Raw { sqlite_commits_per_s: 5000.0, fsync_ms: 0.5 };
        Report::of(Workload::W1, 2000, rounds, raw, Some(64.5))
    }

    #[test]
    fn takes_the_median_round_and_the_mean_of_counts() {
        let report = report();
        assert_eq!((report.seconds, report.steps_per_s), (0.2, 10_000.0));
        assert_eq!((report.p50_ms, report.p99_ms), (50.0, 99.0));
        let (counts, ratios) = (report.counts.unwrap(), report.ratios);
        assert_eq!((counts.statements, counts.fsyncs), (2000, 100));
        assert_eq!((ratios.cpu_seconds_per_10k_steps, ratios.per_step.unwrap().rows_per_step), (Some(1.0), 2.0));
        assert_eq!((ratios.steps_per_raw_commit, ratios.p50_per_fsync), (2.0, 100.0));
    }

    #[test]
    fn the_object_has_the_keys_that_others_script_against() {
        let json = serde_json::to_value(report()).unwrap();
        for key in [
            "workload",
            "steps",
            "seconds",
            "steps_per_s",
            "p50_ms",
            "p99_ms",
            "cpu_seconds",
            "peak_rss_mib",
            "spans",
            "counts",
            "raw",
            "ratios",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert_eq!(json["workload"], "w1");
        assert_eq!(json["ratios"]["rows_per_step"], 2.0);
        assert!(json.get("servers").is_none());
    }

    #[test]
    fn shows_what_was_measured() {
        insta::assert_snapshot!(report().to_string());
    }
}
