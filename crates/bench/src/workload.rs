//! What is submitted.

use aidt_client::Submission;
use serde::Serialize;
use serde_json::json;
use std::str::FromStr;

/// Steps of each run.
pub(crate) const STEPS: usize = 10;

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// 200 runs of 10 sequential `debug.echo`, submitted at once.
    W1,
    /// One idle run of 10 sequential `debug.echo` at a time, 2 ms apart.
    W3,
    /// 10,000 runs of 10 parallel `debug.echo` that no worker takes: what memory 100,000 waiting steps need.
    Queued,
}

/// A word that names no load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no workload '{0}'; there are w1, w3 and queued")]
pub struct NoWorkload(String);

impl FromStr for Workload {
    type Err = NoWorkload;

    fn from_str(s: &str) -> Result<Self, NoWorkload> {
        match s {
            "w1" => Ok(Self::W1),
            "w3" => Ok(Self::W3),
            "queued" => Ok(Self::Queued),
            other => Err(NoWorkload(other.chars().take(40).collect())),
        }
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::W1 => "w1",
            Self::W3 => "w3",
            Self::Queued => "queued",
        })
    }
}

impl Workload {
    /// Runs of one round.
    pub(crate) fn runs(self) -> usize {
        match self {
            Self::W1 => 200,
            Self::W3 => 50,
            Self::Queued => 10_000,
        }
    }

    /// A plan of steps that need each other in a row, or none.
    pub(crate) fn submission(self) -> Submission {
        let steps: Vec<_> = (0..STEPS)
            .map(|at| {
                let before = at.checked_sub(1).filter(|_| self != Self::Queued);
                let needs: Vec<String> = before.map(|before| format!("s{before}")).into_iter().collect();
                json!({ "id": format!("s{at}"), "tool": "debug.echo", "with": { "value": at }, "needs": needs })
            })
            .collect();
        Submission { plan: Some(json!({ "name": "bench", "steps": steps })), ..Submission::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_stand_in_a_row() {
        let plan = Workload::W1.submission().plan.unwrap();
        assert_eq!(plan["steps"].as_array().map(Vec::len), Some(STEPS));
        assert_eq!(plan["steps"][0]["needs"], json!([]));
        assert_eq!(plan["steps"][9]["needs"], json!(["s8"]));
        assert_eq!(Workload::Queued.submission().plan.unwrap()["steps"][9]["needs"], json!([]));
    }

    #[test]
    fn names_read_back() {
        for load in [Workload::W1, Workload::W3, Workload::Queued] {
            assert_eq!(load.to_string().parse(), Ok(load));
        }
        assert!("w2".parse::<Workload>().is_err());
    }
}
