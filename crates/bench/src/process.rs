//! What this process has used, as Linux tells it (`proc(5)`).

/// `/proc` counts CPU time in these, on every architecture that Linux tells it for.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of all threads, ended ones included; `None` where there is no `/proc`.
pub(crate) fn cpu_seconds() -> Option<f64> {
    cpu_of(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The most memory that was ever resident, in MiB.
pub(crate) fn peak_rss_mib() -> Option<f64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn cpu_of(stat: &str) -> Option<f64> {
    // The name in parentheses may hold anything; utime and stime are the 14th and 15th fields.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = |text: &str| text.parse::<f64>().ok();
    Some((ticks(fields.next()?)? + ticks(fields.next()?)?) / TICKS_PER_SECOND)
}

fn peak_of(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_proc_writes() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194304 9 0 0 0 150 50 0 0 20 0 5 0 100 1 2";
        assert_eq!(cpu_of(stat), Some(2.0));
        assert_eq!(peak_of("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2.0));
        assert_eq!(cpu_of("nothing"), None);
    }
}
