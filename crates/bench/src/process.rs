//! What processes have used, as Linux tells it (`proc(5)`).

use std::collections::BTreeMap;

/// `/proc` counts CPU time in these, on every architecture that Linux tells it for.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of all threads of this process, ended ones included; `None` where there is no `/proc`.
pub(crate) fn cpu_seconds() -> Option<f64> {
    Some(Stat::of(&std::fs::read_to_string("/proc/self/stat").ok()?)?.own)
}

/// CPU seconds of a process and of all that descend from it, ended ones included.
pub(crate) fn cpu_seconds_of_tree(root: u32) -> Option<f64> {
    let mut stats = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // It may end meanwhile: then its parent has its time.
        let stat = pid.and_then(|pid| Stat::of(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?));
        if let (Some(pid), Some(stat)) = (pid, stat) {
            stats.insert(pid, stat);
        }
    }
    tree(&stats, root)
}

/// The most memory that was ever resident in this process, in MiB.
pub(crate) fn peak_rss_mib() -> Option<f64> {
    memory_of(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// What is resident of a process now, and the most that ever was, in MiB.
pub(crate) fn rss_mib_of(pid: u32) -> Option<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some((memory_of(&status, "VmRSS:")?, memory_of(&status, "VmHWM:")?))
}

struct Stat {
    parent: u32,
    /// Seconds of its threads.
    own: f64,
    /// Seconds of children that it has waited for.
    children: f64,
}

impl Stat {
    fn of(stat: &str) -> Option<Self> {
        // The name in parentheses may hold anything; the state, which follows, is the third field.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let seconds = |at: usize| Some(fields.get(at - 3)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        let parent = fields.get(1)?.parse().ok()?;
        Some(Self { parent, own: seconds(14)? + seconds(15)?, children: seconds(16)? + seconds(17)? })
    }
}

fn tree(stats: &BTreeMap<u32, Stat>, root: u32) -> Option<f64> {
    let mut sum = 0.0;
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        let stat = stats.get(&pid);
        if pid == root {
            stat?;
        }
        sum += stat.map_or(0.0, |stat| stat.own + stat.children);
        open.extend(stats.iter().filter(|(child, stat)| stat.parent == pid && **child != pid).map(|(child, _)| *child));
    }
    Some(sum)
}

fn memory_of(status: &str, what: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(parent: u32) -> Stat {
        Stat::of(&format!("7 (a) b) c) S {parent} 7 7 0 -1 4194304 9 0 0 0 150 50 50 0 20 0 5 0 100 1 2")).unwrap()
    }

    #[test]
    fn reads_what_proc_writes() {
        let one = stat(3);
        assert_eq!((one.parent, one.own, one.children), (3, 2.0, 0.5));
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!((memory_of(status, "VmHWM:"), memory_of(status, "VmRSS:")), (Some(2.0), Some(1.0)));
        assert!(Stat::of("nothing").is_none());
    }

    #[test]
    fn a_tree_is_a_process_and_all_below_it() {
        let stats = BTreeMap::from([(1, stat(0)), (2, stat(1)), (3, stat(2)), (4, stat(1))]);
        assert_eq!(tree(&stats, 2), Some(5.0));
        assert_eq!(tree(&stats, 1), Some(10.0));
        assert_eq!(tree(&stats, 9), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let pid = std::process::id();
        assert!(cpu_seconds_of_tree(pid).unwrap() >= cpu_seconds().unwrap());
        assert!(rss_mib_of(pid).unwrap().1 > 0.0);
    }
}
