//! Driving a load.

use crate::report::Rounds;
use crate::workload::STEPS;
use crate::{Bed, Bedded, Raw, Report, Servers, Workload, process, servers};
use aidt_client::{Client, ClientError, Submission};
use aidt_domain::{RunId, RunState};
use futures::future::try_join_all;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Measured rounds, after one to warm up.
const ROUNDS: usize = 5;
/// Between two idle runs.
const PAUSE: Duration = Duration::from_millis(2);
/// How long one request waits for a run; a run that takes longer is asked about again.
const WAIT: Duration = Duration::from_secs(30);

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// There is no folder to work in.
    #[error("the bench has no folder to work in")]
    Folder(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The services did not start.
    #[error("the services did not start over a fresh home")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The services did not end, or left something behind.
    #[error("the services did not end, or what they kept on servers could not be removed")]
    Stop(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the servers can do could not be measured.
    #[error("the servers alone could not be measured")]
    Limits(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A call failed.
    #[error("a call of the load failed")]
    Call(#[from] ClientError),
    /// A run ended otherwise.
    #[error("run {run} of the load is {state}, not done: {error}")]
    NotDone {
        /// Which.
        run: RunId,
        /// How.
        state: RunState,
        /// Why.
        error: String,
    },
    /// The raw limits could not be measured.
    #[error("the disk could not be measured with {}", path.display())]
    Raw {
        /// The file that was used.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Measures a load over a home of its own, which is gone afterwards. `tell` is given a line now and then.
pub async fn measure(workload: Workload, bed: &dyn Bed, tell: &dyn Fn(&str)) -> Result<Report, BenchError> {
    let ground = Ground::new(bed)?;
    tell(&format!("{workload}: {ROUNDS} rounds after one to warm up, under {}", ground.parent.display()));
    let bedded = ground.start(bed, true).await?;
    let rounds = rounds(workload, &*bedded, tell).await;
    let stopped = bedded.stop().await.map_err(BenchError::Stop);
    let (rounds, used) = rounds?;
    stopped?;
    let peak = used.iter().filter_map(|one| one.peak_rss_mib).max_by(f64::total_cmp);
    tell("the disk alone");
    let raw = Raw::measure(ground.folder.path())?;
    let mut report = Report::of(workload, workload.runs() * STEPS, rounds, raw, peak);
    if let Some(stack) = bed.stack() {
        tell("the servers alone");
        if let Some(limits) = bed.limits().await.map_err(BenchError::Limits)? {
            report.servers = Some(Servers::of(stack, used, limits, report.steps_per_s, report.p50_ms));
        }
    }
    Ok(report)
}

/// A folder of the bench's own, which is gone afterwards.
pub(crate) struct Ground {
    parent: PathBuf,
    folder: tempfile::TempDir,
}

impl Ground {
    pub(crate) fn new(bed: &dyn Bed) -> Result<Self, BenchError> {
        let parent = bed.folder().map_err(BenchError::Folder)?;
        let folder =
            tempfile::Builder::new().prefix("bench-").tempdir_in(&parent).map_err(|e| BenchError::Folder(e.into()))?;
        Ok(Self { parent, folder })
    }

    pub(crate) async fn start(&self, bed: &dyn Bed, workers: bool) -> Result<Box<dyn Bedded>, BenchError> {
        let home: &Path = &self.folder.path().join("home");
        std::fs::create_dir(home).map_err(|e| BenchError::Folder(e.into()))?;
        bed.start(home, workers).await.map_err(BenchError::Start)
    }
}

async fn rounds(
    workload: Workload,
    bedded: &dyn Bedded,
    tell: &dyn Fn(&str),
) -> Result<(Rounds, Vec<servers::Used>), BenchError> {
    let load = Load { client: Client::new(bedded.endpoint()), submission: workload.submission() };
    load.round(workload, "warm-up").await?;
    let (counters, client, others) = (bedded.counters(), process::cpu_seconds(), servers::clock(&bedded.parties()));
    let mut rounds = Rounds::default();
    for at in 0..ROUNDS {
        let (seconds, millis) = load.round(workload, &at.to_string()).await?;
        let steps_per_s = (workload.runs() * STEPS) as f64 / seconds;
        tell(&format!("round {}: {seconds:.3} s, {steps_per_s:.0} steps/s", at + 1));
        rounds.seconds.push(seconds);
        rounds.millis.extend(millis);
    }
    let client = process::cpu_seconds().zip(client).map(|(now, then)| now - then);
    let after = servers::clock(&bedded.parties());
    rounds.counters = bedded.counters().zip(counters).map(|(now, then)| now.since(&then));
    rounds.cpu_seconds = client.zip(servers::ours(&others, &after)).map(|(client, others)| client + others);
    let used = servers::used(client, &others, &after, workload.runs() * STEPS * ROUNDS);
    Ok((rounds, used))
}

struct Load {
    client: Client,
    submission: Submission,
}

impl Load {
    /// Seconds of the round, and the times that its percentiles are of.
    async fn round(&self, workload: Workload, name: &str) -> Result<(f64, Vec<f64>), BenchError> {
        match workload {
            Workload::W1 | Workload::Queued => self.at_once(workload.runs(), name).await,
            Workload::W3 => self.one_by_one(workload.runs(), name).await,
        }
    }

    async fn at_once(&self, runs: usize, name: &str) -> Result<(f64, Vec<f64>), BenchError> {
        let start = Instant::now();
        let all = (0..runs).map(|at| self.run(format!("{name}-{at}")));
        let times = try_join_all(all).await?;
        Ok((start.elapsed().as_secs_f64(), times))
    }

    async fn one_by_one(&self, runs: usize, name: &str) -> Result<(f64, Vec<f64>), BenchError> {
        let mut millis = Vec::with_capacity(runs);
        for at in 0..runs {
            millis.push(self.run(format!("{name}-{at}")).await? / STEPS as f64);
            tokio::time::sleep(PAUSE).await;
        }
        let seconds = millis.iter().sum::<f64>() * STEPS as f64 / 1000.0;
        Ok((seconds, millis))
    }

    /// Milliseconds from the POST until the run is seen done. One waiting request a run is the cheapest
    /// way to see it: a stream would have every event of every run written and read as JSON.
    async fn run(&self, key: String) -> Result<f64, BenchError> {
        let start = Instant::now();
        let id = self.client.submit(&self.submission, &key).await?.id;
        loop {
            let run = self.client.wait(id, WAIT).await?;
            match run.state {
                RunState::Done => return Ok(start.elapsed().as_secs_f64() * 1000.0),
                state if state.is_terminal() => {
                    let error = run.error.map(|e| e.to_string()).unwrap_or_default();
                    return Err(BenchError::NotDone { run: id, state, error });
                }
                _ => {}
            }
        }
    }
}
