//! Processes that outlive the one that started them, known again by pid and time of start.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// A process. The kernel's time of its start tells it from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the machine did (field 22 of `/proc/PID/stat`).
    pub(crate) started: u64,
}

/// What `/proc/PID/stat` says that matters here.
struct Stat {
    state: char,
    parent: i32,
    threads: u32,
    started: u64,
}

impl Process {
    /// Starts a program in a process group of its own, which Ctrl-C in a terminal does not reach.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let pid = command.process_group(0).spawn()?.id().cast_signed();
        // Not reaped yet, so it is there even if it has ended.
        let started = stat(pid).map_or(0, |stat| stat.started);
        Ok(Self { pid, started })
    }

    /// False for a process that ended, also when another has its pid by now.
    pub(crate) fn is_alive(self) -> bool {
        match stat(self.pid) {
            Some(stat) if stat.started != self.started => false,
            // While other threads are left, files and ports are not given back yet.
            Some(stat) if stat.state == 'Z' && stat.threads <= 1 => {
                // A child of ours leaves once it is asked for; another's child is that one's to reap.
                if let Some(pid) = Pid::from_raw(self.pid) {
                    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
                }
                false
            }
            other => other.is_some(),
        }
    }

    /// Does nothing to a process that ended.
    pub(crate) fn signal(self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may have ended just now.
            let _ = kill_process(pid, signal);
        }
    }

    /// The process and all that descend from it.
    pub(crate) fn signal_tree(self, signal: Signal) {
        self.tree().into_iter().for_each(|process| process.signal(signal));
    }

    /// SIGKILL for the whole tree, so that no child of a killed server lives on; false if one still does at
    /// the deadline. The first is stopped before, so that it has no more children meanwhile.
    pub(crate) fn kill_tree(self, limit: Duration) -> bool {
        self.signal(Signal::STOP);
        let tree = self.tree();
        tree.iter().for_each(|process| process.signal(Signal::KILL));
        eventually(limit, || tree.iter().all(|process| !process.is_alive()))
    }

    /// Waits for its end; false if it still runs at the deadline.
    pub(crate) fn ends_within(self, limit: Duration) -> bool {
        eventually(limit, || !self.is_alive())
    }

    fn tree(self) -> Vec<Self> {
        let mut children: BTreeMap<i32, Vec<Self>> = BTreeMap::new();
        for pid in pids() {
            if let Some(stat) = stat(pid) {
                children.entry(stat.parent).or_default().push(Self { pid, started: stat.started });
            }
        }
        let mut found = vec![self];
        let mut next = vec![self.pid];
        while let Some(parent) = next.pop() {
            let of_parent = children.remove(&parent).unwrap_or_default();
            next.extend(of_parent.iter().map(|child| child.pid));
            found.extend(of_parent);
        }
        found
    }
}

/// True as soon as the condition holds, false when it does not within the limit.
pub(crate) fn eventually(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !holds() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Every process that this one may see.
pub(crate) fn pids() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, also spaces and parentheses.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_again_and_its_end_is_seen() {
        let sleeper = Process::spawn(Command::new("sleep").arg("600")).unwrap();
        assert!(sleeper.is_alive());
        let later = Process { started: sleeper.started + 1, ..sleeper };
        assert!(!later.is_alive(), "another process with the same pid");
        later.signal(Signal::KILL);
        assert!(sleeper.is_alive(), "a signal reached a process that was not meant");
        assert!(sleeper.kill_tree(Duration::from_secs(10)));
        assert!(!sleeper.is_alive());
    }

    #[test]
    fn a_killed_tree_leaves_no_grandchild() {
        let shell = Process::spawn(Command::new("sh").args(["-c", "sleep 600 & sleep 600"])).unwrap();
        assert!(eventually(Duration::from_secs(10), || shell.tree().len() == 3));
        let tree = shell.tree();
        assert!(shell.kill_tree(Duration::from_secs(10)));
        assert!(tree.iter().all(|process| !process.is_alive()));
    }
}
