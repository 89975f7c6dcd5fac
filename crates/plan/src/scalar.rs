//! What a plain word of YAML stands for: the core schema of YAML 1.2.

use crate::tree::Data;
use serde_json::Number;

/// `None`: a number that JSON does not have (`.inf`, `.nan`, beyond a double).
pub(crate) fn plain(word: &str) -> Option<Data> {
    Some(match word {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Bool(true),
        "false" | "False" | "FALSE" => Data::Bool(false),
        _ => match number(word)? {
            Some(number) => Data::Number(number),
            None => Data::Text(word.to_owned()),
        },
    })
}

/// Outer `None`: not a number that JSON has; inner: not a number.
fn number(word: &str) -> Option<Option<Number>> {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(word, ".nan" | ".NaN" | ".NAN") {
        return None;
    }
    if let Some(digits) = word.strip_prefix("0x") {
        return Some(based(digits, 16));
    }
    if let Some(digits) = word.strip_prefix("0o") {
        return Some(based(digits, 8));
    }
    if !looks_like_number(unsigned) {
        return Some(None);
    }
    let word = word.strip_prefix('+').unwrap_or(word);
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        if let Ok(i) = word.parse::<i64>() {
            return Some(Some(i.into()));
        }
        if let Ok(u) = word.parse::<u64>() {
            return Some(Some(u.into()));
        }
    }
    Number::from_f64(word.parse().ok()?).map(Some)
}

fn based(digits: &str, radix: u32) -> Option<Number> {
    let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    all.then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(Number::from)
}

/// `[0-9]+ | (\. [0-9]+ | [0-9]+ (\. [0-9]*)?) ([eE] [-+]? [0-9]+)?`
fn looks_like_number(word: &str) -> bool {
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (word, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    digits(whole) && digits(fraction) && (whole.len() + fraction.len() > 0) && exponent_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_yaml_1_2_does() {
        let json = |word: &str| match plain(word) {
            None => "none".to_owned(),
            Some(Data::Number(n)) => format!("number {n}"),
            Some(Data::Text(_)) => "text".to_owned(),
            Some(other) => format!("{other:?}"),
        };
        for (word, expected) in [
            ("", "Null"),
            ("~", "Null"),
            ("yes", "text"),
            ("on", "text"),
            ("True", "Bool(true)"),
            ("12", "number 12"),
            ("-0", "number 0"),
            ("+7", "number 7"),
            ("010", "number 10"),
            ("0o17", "number 15"),
            ("0x1F", "number 31"),
            ("0x", "text"),
            ("1.5", "number 1.5"),
            (".5", "number 0.5"),
            ("1.", "number 1.0"),
            ("1e3", "number 1000.0"),
            ("1e", "text"),
            (".", "text"),
            ("-", "text"),
            ("1_000", "text"),
            ("12:30", "text"),
            ("1.2.3", "text"),
            ("18446744073709551615", "number 18446744073709551615"),
            ("1e999", "none"),
            ("-.inf", "none"),
            (".nan", "none"),
            ("e5", "text"),
            ("2026-01-01", "text"),
            ("60s", "text"),
        ] {
            assert_eq!(json(word), expected, "{word}");
        }
    }
}
