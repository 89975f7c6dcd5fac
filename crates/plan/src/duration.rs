//! `500ms`, `60s`, `5m`, `1h30m`, `2d`.

/// Units, longest first, and their milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Milliseconds; `None` when it is not of the form, or does not fit.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0)?;
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        // Each unit once, from long to short.
        let (_, ms) = units.find(|(unit, _)| *unit == &rest[..end])?;
        total = total.checked_add(count.checked_mul(*ms)?)?;
        rest = &rest[end..];
    }
    (!text.trim().is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, ms) in [
            ("60s", Some(60_000)),
            ("500ms", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("1m1ms", Some(60_001)),
            ("0s", Some(0)),
            ("60", None),
            ("s", None),
            ("", None),
            ("1.5s", None),
            ("1s1h", None),
            ("1s2s", None),
            ("-1s", None),
            ("1 s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
            ("1w", None),
        ] {
            assert_eq!(parse(text), ms, "{text}");
        }
    }
}
