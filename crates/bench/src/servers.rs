//! The part of a report that is about a stack of servers.

use crate::{Party, Stack, process};
use serde::Serialize;
use std::fmt;

/// What servers can do when nothing else is asked of them, by their clients alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// The broker, and how it was asked to keep messages.
    pub broker: String,
    /// Messages of 1 KiB published with confirms, consumed and acked in a second, 256 at once.
    pub messages_per_s: f64,
    /// The median time from publishing such a message alone until it is consumed, in milliseconds.
    pub message_ms: f64,
    /// Transactions of one row each, one after the other.
    pub commits_per_s: f64,
    /// Rows committed in a second, 256 at once.
    pub rows_per_s: f64,
}

/// A stack of servers: what it used, and what it could do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Servers {
    /// Such as `postgres, rabbitmq, redis`.
    pub stack: String,
    /// Processes of each service, of which there is one gateway.
    pub replicas: u32,
    /// The client, the services and the servers.
    pub processes: Vec<Used>,
    /// CPU seconds of the servers for 10,000 steps; null if one of them is not on this machine.
    pub cpu_seconds_per_10k_steps: Option<f64>,
    /// What the servers can do.
    pub limits: Limits,
    /// Steps/s, as a share of the broker's messages/s. A step is two messages that are not shared.
    pub steps_per_raw_message: f64,
    /// Steps/s, as a share of the database's single-row commits/s.
    pub steps_per_raw_commit: f64,
    /// Steps/s, as a share of the database's batched rows/s.
    pub steps_per_raw_row: f64,
    /// p50 in times of one message alone.
    pub p50_per_raw_message: f64,
}

/// What processes of one name used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Used {
    /// Their name.
    pub name: String,
    /// Somebody else's program.
    pub is_server: bool,
    /// CPU seconds for 10,000 steps; null if it is not on this machine.
    pub cpu_seconds_per_10k_steps: Option<f64>,
    /// The most that was ever resident in one of them, in MiB; null for servers.
    pub peak_rss_mib: Option<f64>,
}

/// What parties of one name have used so far.
#[derive(Clone, Debug)]
pub(crate) struct Clocked {
    name: String,
    is_server: bool,
    seconds: Option<f64>,
    peak_rss_mib: Option<f64>,
}

/// Looks at them all; those of one name together.
pub(crate) fn clock(parties: &[Party]) -> Vec<Clocked> {
    let mut all: Vec<Clocked> = Vec::new();
    for party in parties {
        let seconds = party.pid.and_then(process::cpu_seconds_of_tree);
        let peak = party.pid.filter(|_| !party.is_server).and_then(process::rss_mib_of).map(|(_, peak)| peak);
        if let Some(one) = all.iter_mut().find(|one| one.name == party.name) {
            one.seconds = one.seconds.zip(seconds).map(|(a, b)| a + b);
            one.peak_rss_mib = one.peak_rss_mib.zip(peak).map(|(a, b)| a.max(b));
        } else {
            let (name, is_server) = (party.name.clone(), party.is_server);
            all.push(Clocked { name, is_server, seconds, peak_rss_mib: peak });
        }
    }
    all
}

/// CPU seconds that ours used between two looks.
pub(crate) fn ours(before: &[Clocked], after: &[Clocked]) -> Option<f64> {
    between(before, after).filter(|(one, _)| !one.is_server).map(|(_, seconds)| seconds).sum()
}

fn between<'a>(before: &'a [Clocked], after: &'a [Clocked]) -> impl Iterator<Item = (&'a Clocked, Option<f64>)> {
    after.iter().map(|one| {
        let earlier = before.iter().find(|other| other.name == one.name).and_then(|other| other.seconds);
        (one, one.seconds.zip(earlier).map(|(after, before)| after - before))
    })
}

/// What parties used for so many steps, the client first.
pub(crate) fn used(client: Option<f64>, before: &[Clocked], after: &[Clocked], steps: usize) -> Vec<Used> {
    let share = |seconds: Option<f64>| seconds.map(|seconds| seconds * 10_000.0 / steps as f64);
    let client = Used {
        name: "client".to_owned(),
        is_server: false,
        cpu_seconds_per_10k_steps: share(client),
        peak_rss_mib: process::peak_rss_mib(),
    };
    let others = between(before, after).map(|(one, seconds)| Used {
        name: one.name.clone(),
        is_server: one.is_server,
        cpu_seconds_per_10k_steps: share(seconds),
        peak_rss_mib: one.peak_rss_mib,
    });
    std::iter::once(client).chain(others).collect()
}

impl Servers {
    pub(crate) fn of(stack: Stack, processes: Vec<Used>, limits: Limits, steps_per_s: f64, p50_ms: f64) -> Self {
        let servers = processes.iter().filter(|one| one.is_server);
        Self {
            stack: stack.servers,
            replicas: stack.replicas,
            cpu_seconds_per_10k_steps: servers.map(|one| one.cpu_seconds_per_10k_steps).sum(),
            processes,
            steps_per_raw_message: steps_per_s / limits.messages_per_s,
            steps_per_raw_commit: steps_per_s / limits.commits_per_s,
            steps_per_raw_row: steps_per_s / limits.rows_per_s,
            p50_per_raw_message: p50_ms / limits.message_ms,
            limits,
        }
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = &self.limits;
        writeln!(f, "CPU s per 10,000 steps, by process ({} of each service):", self.replicas)?;
        for one in &self.processes {
            let whose = if one.is_server { " (server)" } else { "" };
            match one.cpu_seconds_per_10k_steps {
                Some(seconds) => writeln!(f, "  {seconds:>12.3} {}{whose}", one.name)?,
                None => writeln!(f, "  {:>12} {}{whose}, which is not on this machine", "?", one.name)?,
            }
        }
        writeln!(f, "these servers ({}), alone, in the same run:", self.stack)?;
        writeln!(
            f,
            "  {:>12.0} messages/s end to end, {}; steps/s are {:.2} of it",
            limits.messages_per_s, limits.broker, self.steps_per_raw_message
        )?;
        writeln!(f, "  {:>12.3} ms for one alone; p50 is {:.1} of it", limits.message_ms, self.p50_per_raw_message)?;
        writeln!(
            f,
            "  {:>12.0} commits/s of one row; steps/s are {:.2} of it",
            limits.commits_per_s, self.steps_per_raw_commit
        )?;
        write!(
            f,
            "  {:>12.0} rows/s committed 256 at once; steps/s are {:.3} of it",
            limits.rows_per_s, self.steps_per_raw_row
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocked(name: &str, is_server: bool, seconds: Option<f64>) -> Clocked {
        Clocked { name: name.to_owned(), is_server, seconds, peak_rss_mib: None }
    }

    fn servers() -> Servers {
        let before = [clocked("gateway", false, Some(1.0)), clocked("rabbitmq", true, Some(5.0))];
        let after = [clocked("gateway", false, Some(1.5)), clocked("rabbitmq", true, Some(7.0))];
        let limits = Limits {
            broker: "a quorum queue of RabbitMQ".to_owned(),
            messages_per_s: 10_000.0,
            message_ms: 1.0,
            commits_per_s: 20_000.0,
            rows_per_s: 200_000.0,
        };
        let stack = Stack { servers: "postgres, rabbitmq, redis".to_owned(), replicas: 1 };
        Servers::of(stack, used(Some(0.25), &before, &after, 10_000), limits, 5_000.0, 2.0)
    }

    #[test]
    fn counts_what_was_used_in_between() {
        let servers = servers();
        let seconds: Vec<_> = servers.processes.iter().map(|one| one.cpu_seconds_per_10k_steps).collect();
        assert_eq!(seconds, [Some(0.25), Some(0.5), Some(2.0)]);
        assert_eq!((servers.cpu_seconds_per_10k_steps, servers.steps_per_raw_message), (Some(2.0), 0.5));
    }

    #[test]
    fn what_is_elsewhere_is_not_guessed() {
        let (here, elsewhere) = (clocked("redis", true, Some(1.0)), clocked("postgres", true, None));
        let used = used(None, &[here.clone(), elsewhere.clone()], &[here, elsewhere], 10);
        assert_eq!(used.last().unwrap().cpu_seconds_per_10k_steps, None);
    }

    #[test]
    fn shows_what_was_measured() {
        insta::assert_snapshot!(servers().to_string());
    }
}
