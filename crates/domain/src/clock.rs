//! Time comes in from outside, so that a run is reproducible.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Milliseconds since the Unix epoch. In JSON it is text, RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant plus `d`, saturating.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, e.g. `2026-11-21T13:18:06.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Civil-from-days, Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
        let y = yoe + era * 400 + i64::from(m <= 2);
        let (s, milli) = (ms / 1000, ms % 1000);
        write!(f, "{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}.{milli:03}Z", s / 3600, s / 60 % 60, s % 60)
    }
}

impl FromStr for Timestamp {
    type Err = super::IdError;

    /// Reads what [`Timestamp`] prints; milliseconds may be left out.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        parse(s).ok_or_else(|| super::IdError::new("time", s, "2026-11-21T13:18:06.123Z"))
    }
}

fn parse(s: &str) -> Option<Timestamp> {
    let (date, time) = s.strip_suffix('Z')?.split_once('T')?;
    let (sign, date) = date.strip_prefix('-').map_or((1, date), |date| (-1, date));
    let mut date = date.split('-').map(str::parse::<i64>);
    let (y, m, d) = (sign * date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    // The years that milliseconds in 64 bits reach.
    if y.abs() > 292_278_994 {
        return None;
    }
    let (hms, milli) = time.split_once('.').unwrap_or((time, "0"));
    let mut hms = hms.split(':').map(str::parse::<i64>);
    let (h, min, sec) = (hms.next()?.ok()?, hms.next()?.ok()?, hms.next()?.ok()?);
    let clock = [(h, 23), (min, 59), (sec, 59)].iter().all(|(n, max)| (0..=*max).contains(n));
    if !(1..=12).contains(&m) || !(1..=31).contains(&d) || !clock || milli.len() > 3 {
        return None;
    }
    // Days-from-civil, the inverse of what `Display` does.
    let (y, m) = if m <= 2 { (y - 1, m + 9) } else { (y, m - 3) };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 + d - 1;
    let days = era * 146_097 + doe - 719_468;
    let milli: i64 = format!("{milli:0<3}").parse().ok()?;
    let ms = ((days * 24 + h) * 60 + min).checked_mul(60_000)?.checked_add(sec * 1000 + milli)?;
    Some(Timestamp(ms))
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a service reads the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall-clock time of this process. Deadlines are made from the *database's* time: see
    /// `Store::now` and the owner's offset.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(951_782_400_123).to_string(), "2000-02-29T00:00:00.123Z");
        assert_eq!(Timestamp(1_795_267_086_001).to_string(), "2026-11-21T13:18:06.001Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn reads_what_it_prints() {
        for ms in [0, -1, i64::MIN / 2, i64::MAX / 2, 951_782_400_123, 1_795_267_086_001, 4_102_444_799_999] {
            assert_eq!(Timestamp(ms).to_string().parse(), Ok(Timestamp(ms)));
        }
        assert_eq!("2026-11-21T13:18:06Z".parse(), Ok(Timestamp(1_795_267_086_000)));
        for bad in ["", "2026-11-21", "2026-13-21T13:18:06Z", "2026-11-21T13:18:06.1234Z", "x-y-zTa:b:cZ"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
