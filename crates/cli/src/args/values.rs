//! Values of options.

use std::str::FromStr;
use std::time::Duration;

/// `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// Before the first `=`.
    pub key: String,
    /// All that follows it.
    pub value: String,
}

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err("give it as NAME=VALUE".to_owned()),
        }
    }
}

/// `1500ms`, `30s`, `5m`, `2h`, or a plain number of seconds.
pub fn parse_duration(s: &str) -> Result<Duration, String> {
    let form = || format!("'{s}' is not a time such as 30s, 5m, 2h or 1500ms");
    let digits = s.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(s.len());
    let (number, unit) = s.split_at(digits);
    let number: f64 = number.parse().map_err(|_| form())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(form()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| form())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [("30s", 30_000), ("1500ms", 1_500), ("2", 2_000), ("0.5m", 30_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "5 s", "5d", "-1s", "1e400", "1.2.3s", "9999999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pair_keeps_all_after_the_first_equals_sign() {
        assert_eq!("a=b=c".parse(), Ok(KeyValue { key: "a".into(), value: "b=c".into() }));
        assert_eq!("a=".parse(), Ok(KeyValue { key: "a".into(), value: String::new() }));
        assert!("=b".parse::<KeyValue>().is_err() && "a".parse::<KeyValue>().is_err());
    }
}
