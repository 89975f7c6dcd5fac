//! Times, as the API writes them, and durations, as people read them.

use std::time::Duration;

/// Milliseconds since the Unix epoch of an RFC 3339 time in UTC, as the server writes them.
pub(crate) fn millis(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|n| n.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute): (i64, i64) = (time.next()?.parse().ok()?, time.next()?.parse().ok()?);
    let rest = time.next()?;
    let (second, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
    let second: i64 = second.parse().ok()?;
    let milli: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    if !(1..=12).contains(&month) {
        return None;
    }
    // Days-from-civil, Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + milli)
}

/// `4 ms`, `1.2 s`, `3 min 5 s`, `2 h 10 min`.
pub(crate) fn human(duration: Duration) -> String {
    let ms = duration.as_millis();
    let s = duration.as_secs();
    match s {
        _ if ms < 1_000 => format!("{ms} ms"),
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

/// The time between two RFC 3339 times.
pub(crate) fn between(from: &str, to: &str) -> Option<Duration> {
    let ms = millis(to)?.checked_sub(millis(from)?)?;
    Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_domain::Timestamp;

    #[test]
    fn reads_what_the_domain_prints() {
        for ms in [0, 951_782_400_123, 1_795_267_086_001, 1_709_251_199_999, 4_102_444_800_000] {
            assert_eq!(millis(&Timestamp(ms).to_string()), Some(ms));
        }
        assert_eq!(millis("2026-11-21T13:18:06Z"), Some(1_795_267_086_000));
        for text in ["", "2026-11-21", "2026-13-21T13:18:06Z", "2026-11-21T13:18:06+01:00", "x-y-zTa:b:cZ"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_short() {
        for (ms, text) in [(4, "4 ms"), (1_240, "1.2 s"), (185_000, "3 min 5 s"), (7_800_000, "2 h 10 min")] {
            assert_eq!(human(Duration::from_millis(ms)), text);
        }
    }
}
