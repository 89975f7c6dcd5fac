//! Query parameters: unknown ones are refused by name, bad ones with their form.

use super::{nearest::nearest, problem::Problem};
use aidt_domain::Seq;
use http::Uri;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// The query of a request, decoded.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the query; only `known` names may occur.
    pub(crate) fn of(uri: &Uri, known: &[&'static str]) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for piece in uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if !known.contains(&name.as_str()) {
                return Err(unknown(&name, known));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The values of a parameter that may be repeated.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The value of a parameter that may be given once.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Problem::invalid(format!("the query has {name} more than once")));
        }
        Ok(first)
    }

    /// The parsed value of a parameter.
    pub(crate) fn parse<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.one(name)?
            .map(|v| v.parse().map_err(|e| Problem::invalid(format!("query parameter {name}: {e}"))))
            .transpose()
    }

    /// `limit`: from 1 to `max`.
    pub(crate) fn limit(&self, default: u32, max: u32) -> Result<u32, Problem> {
        match self.parse::<u32>("limit")? {
            None => Ok(default),
            Some(n) if (1..=max).contains(&n) => Ok(n),
            Some(n) => Err(Problem::invalid(format!("limit is {n}; it goes from 1 to {max}"))),
        }
    }

    /// A number of seconds, at most `max`; fractions are allowed.
    pub(crate) fn seconds(&self, name: &str, max: Duration) -> Result<Option<Duration>, Problem> {
        let Some(given) = self.parse::<f64>(name)? else { return Ok(None) };
        if given.is_finite() && (0.0..=max.as_secs_f64()).contains(&given) {
            return Ok(Some(Duration::from_secs_f64(given)));
        }
        Err(Problem::invalid(format!("{name} is {given}; it goes from 0 to {} seconds", max.as_secs())))
    }

    /// The number of an event.
    pub(crate) fn seq(&self, name: &str) -> Result<Option<Seq>, Problem> {
        self.one(name)?
            .map(|v| seq(v).ok_or_else(|| Problem::invalid(format!("{name} is not an event's number"))))
            .transpose()
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        Ok(self.parse(name)?.unwrap_or(default))
    }
}

/// The number of an event; stores count in 63 bits.
pub(crate) fn seq(text: &str) -> Option<Seq> {
    text.parse::<i64>().ok().and_then(|n| u64::try_from(n).ok()).filter(|n| *n < i64::MAX as u64).map(Seq)
}

fn unknown(name: &str, known: &[&'static str]) -> Problem {
    let name: String = name.chars().take(80).collect();
    let detail = match (nearest(&name, known.iter().copied()), known) {
        (Some(near), _) => format!("there is no query parameter {name}; did you mean {near}?"),
        (None, []) => format!("there is no query parameter {name}; this takes none"),
        (None, _) => format!("there is no query parameter {name}; there are {}", known.join(", ")),
    };
    Problem::invalid(detail)
}

/// Decodes `%XX` and `+`, strictly: what is not UTF-8 is refused instead of being replaced.
fn decode(piece: &str) -> Result<String, Problem> {
    let bad = |why| Problem::invalid(format!("the query is not valid: '{piece}' {why}"));
    let mut bytes = Vec::with_capacity(piece.len());
    let mut rest = piece.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(bad("has a % without two hex digits"));
                };
                u8::try_from(high * 16 + low).expect("two hex digits are a byte")
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| bad("is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Result<Params, Problem> {
        let uri = format!("/v1/runs?{query}").parse().unwrap();
        Params::of(&uri, &["state", "limit", "label", "wait"])
    }

    #[test]
    fn decodes_and_repeats() {
        let p = params("label=team%3Dcore+tools&label=a=b&state=").unwrap();
        assert_eq!(p.all("label").collect::<Vec<_>>(), ["team=core tools", "a=b"]);
        assert_eq!(p.one("state").unwrap(), Some(""));
        assert_eq!(p.one("limit").unwrap(), None);
        assert!(p.one("label").is_err());
    }

    #[test]
    fn refuses_by_name_what_it_does_not_know() {
        assert!(params("stat=done").unwrap_err().detail.contains("did you mean state?"));
        assert!(params("zzzzzzz=1").unwrap_err().detail.contains("there are state, limit"));
    }

    #[test]
    fn refuses_bad_escapes_and_bad_utf8() {
        for query in ["state=%f", "state=%zz", "state=%ff%fe", "%c3=1"] {
            assert!(params(query).unwrap_err().detail.contains("the query is not valid"), "{query}");
        }
    }

    #[test]
    fn an_events_number_fits_every_store() {
        assert_eq!(seq("0"), Some(Seq(0)));
        assert_eq!(seq("9223372036854775806").map(Seq::next), Some(Seq(i64::MAX as u64)));
        for bad in ["-1", "x", "", "1.0", "9223372036854775807", "18446744073709551615"] {
            assert_eq!(seq(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(params("limit=7").unwrap().limit(50, 100).unwrap(), 7);
        assert_eq!(params("").unwrap().limit(50, 100).unwrap(), 50);
        for query in ["limit=0", "limit=101", "limit=-1", "limit=x"] {
            assert!(params(query).unwrap().limit(50, 100).is_err(), "{query}");
        }
        let max = Duration::from_secs(60);
        assert_eq!(params("wait=0.5").unwrap().seconds("wait", max).unwrap(), Some(Duration::from_millis(500)));
        for query in ["wait=61", "wait=-1", "wait=NaN", "wait=inf", "wait=1s"] {
            assert!(params(query).unwrap().seconds("wait", max).is_err(), "{query}");
        }
    }
}
