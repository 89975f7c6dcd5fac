//! What memory waiting steps need.

use crate::measure::Ground;
use crate::workload::STEPS;
use crate::{Bed, Bedded, BenchError, Party, Workload, process};
use aidt_client::Client;
use aidt_domain::{RunId, RunState};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Submissions under way at once.
const AT_ONCE: usize = 64;
/// An owner takes up what it is sent in order: when so many of the last ones run, all do.
const LAST: usize = 512;
/// Between two looks at a run.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Queued {
    /// The load.
    pub workload: Workload,
    /// Runs that were submitted.
    pub runs: usize,
    /// Steps of theirs: each is ready, and none is handed out.
    pub steps: usize,
    /// Runs accepted in a second.
    pub accepted_per_s: f64,
    /// From the first submission until the owner has all of them, in seconds.
    pub seconds: f64,
    /// Our processes; embedded this one, which is the client, too.
    pub processes: Vec<Grown>,
}

/// What is resident of a process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grown {
    /// The service.
    pub name: String,
    /// Before the first submission, in MiB.
    pub before_mib: f64,
    /// With all steps waiting, in MiB.
    pub after_mib: f64,
    /// The most that ever was, in MiB.
    pub peak_mib: f64,
    /// What is more afterwards, for a step, in bytes.
    pub bytes_per_step: f64,
}

/// Submits runs whose steps no worker takes. `tell` is given a line now and then.
pub async fn queued(bed: &dyn Bed, tell: &dyn Fn(&str)) -> Result<Queued, BenchError> {
    let ground = Ground::new(bed)?;
    let bedded = ground.start(bed, false).await?;
    let measured = fill(&*bedded, tell).await;
    let stopped = bedded.stop().await.map_err(BenchError::Stop);
    let measured = measured?;
    stopped?;
    Ok(measured)
}

async fn fill(bedded: &dyn Bedded, tell: &dyn Fn(&str)) -> Result<Queued, BenchError> {
    let workload = Workload::Queued;
    let (client, submission) = (Client::new(bedded.endpoint()), workload.submission());
    let submit = async |key: String| Ok::<_, BenchError>(client.submit(&submission, &key).await?.id);
    until_running(&client, submit("warm-up".to_owned()).await?).await?;
    let runs = workload.runs();
    tell(&format!("{runs} runs of {STEPS} steps that nobody takes"));
    let before = resident(bedded);
    let start = Instant::now();
    let ids: Vec<RunId> =
        stream::iter(0..runs).map(|at| submit(at.to_string())).buffered(AT_ONCE).try_collect().await?;
    let accepted = start.elapsed().as_secs_f64();
    tell(&format!("accepted in {accepted:.1} s"));
    for id in &ids[ids.len().saturating_sub(LAST)..] {
        until_running(&client, *id).await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let steps = runs * STEPS;
    let processes = before.into_iter().zip(resident(bedded)).map(|((name, before, _), (_, after, peak))| Grown {
        name,
        before_mib: before,
        after_mib: after,
        peak_mib: peak,
        bytes_per_step: (after - before) * 1024.0 * 1024.0 / steps as f64,
    });
    let processes = processes.collect();
    Ok(Queued { workload, runs, steps, accepted_per_s: runs as f64 / accepted, seconds, processes })
}

/// Name, MiB now and at most of our processes.
fn resident(bedded: &dyn Bedded) -> Vec<(String, f64, f64)> {
    let this = Party { name: "client".to_owned(), is_server: false, pid: Some(std::process::id()) };
    let ours = std::iter::once(this).chain(bedded.parties().into_iter().filter(|party| !party.is_server));
    let resident = ours.map(|party| {
        let (now, peak) = party.pid.and_then(process::rss_mib_of).unwrap_or_default();
        (party.name, now, peak)
    });
    resident.collect()
}

async fn until_running(client: &Client, run: RunId) -> Result<(), BenchError> {
    loop {
        match client.run(run).await?.state {
            RunState::Running => return Ok(()),
            state if state.is_terminal() => {
                let error = "it ended though nobody takes its steps".to_owned();
                return Err(BenchError::NotDone { run, state, error });
            }
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

impl fmt::Display for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} runs, {} steps waiting after {:.1} s", self.workload, self.runs, self.steps, self.seconds)?;
        write!(f, "  {:>12.0} runs/s accepted", self.accepted_per_s)?;
        for one in &self.processes {
            let Grown { name, before_mib, after_mib, peak_mib, bytes_per_step } = one;
            write!(
                f,
                "\n  {after_mib:>12.1} MiB resident in {name}, {before_mib:.1} before, {peak_mib:.1} at most: \
                 {bytes_per_step:.0} bytes a step"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_was_measured() {
        let owner = Grown {
            name: "completion-consumer".to_owned(),
            before_mib: 20.0,
            after_mib: 70.0,
            peak_mib: 75.5,
            bytes_per_step: 524.3,
        };
        let queued = Queued {
            workload: Workload::Queued,
            runs: 10_000,
            steps: 100_000,
            accepted_per_s: 1_500.0,
            seconds: 9.0,
            processes: vec![owner],
        };
        insta::assert_snapshot!(queued.to_string());
    }
}
