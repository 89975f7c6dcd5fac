//! How long a run waited because of a fault, as its own history tells.

use super::load::Accepted;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time in which nothing happened to a run, and what ended it. The longest is the greatest.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wait {
    /// How long.
    pub(super) time: Duration,
    /// The event.
    pub(super) until: String,
    /// The run.
    pub(super) run: String,
}

/// The longest of a run, from `since` on: the time before that is not held against anybody. Its steps take a
/// moment each. What waited for a person does not count.
#[must_use]
pub(super) fn longest_wait(run: &Accepted, events: &[Value], since: i64) -> Wait {
    let mut last = run.at;
    let mut longest = Wait::default();
    for event in events {
        let at = milliseconds(event["at"].as_str().unwrap());
        let time = Duration::from_millis((at - last.max(since)).max(0).unsigned_abs());
        if event["kind"] != "step_resolved" && time > longest.time {
            let until = format!("{} {}", event["kind"].as_str().unwrap(), event["step"].as_str().unwrap_or_default());
            longest = Wait { time, until: until.trim_end().to_owned(), run: run.run.clone() };
        }
        last = last.max(at);
    }
    longest
}

/// In milliseconds since 1970.
#[must_use]
pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Of a time as the API writes it: RFC 3339 in UTC with milliseconds.
///
/// # Panics
/// When it is not of that form.
#[must_use]
pub(super) fn milliseconds(text: &str) -> i64 {
    let part = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap_or_else(|e| panic!("{e}: {text}"));
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    // Days since 1970 by the civil calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let seconds = ((days * 24 + part(11, 13)) * 60 + part(14, 16)) * 60 + part(17, 19);
    seconds * 1000 + part(20, 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read() {
        assert_eq!(milliseconds("1970-01-01T00:00:00.000Z"), 0);
        assert_eq!(milliseconds("2026-11-21T13:18:06.001Z"), 1_795_267_086_001);
        assert_eq!(milliseconds("2024-02-29T23:59:59.999Z"), 1_709_251_199_999);
    }

    #[test]
    fn what_counts_is_the_longest_wait_after_the_fault() {
        let at = |second: u32, kind: &str| json!({"kind": kind, "at": format!("1970-01-01T00:00:{second:02}.000Z")});
        let run = Accepted { run: String::new(), at: 0 };
        let events = [at(5, "run_started"), at(15, "step_unknown"), at(40, "step_resolved"), at(42, "run_done")];
        let wait = |since| longest_wait(&run, &events, since);
        assert_eq!((wait(0).time, wait(0).until.as_str()), (Duration::from_secs(10), "step_unknown"));
        assert_eq!(wait(8_000).time, Duration::from_secs(7));
        assert_eq!(wait(50_000), Wait::default());
    }
}
