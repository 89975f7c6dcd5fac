//! W3C trace context: the `traceparent` that travels with data.

use std::fmt;

/// Where a span stands: its trace, itself, and whether anybody collects the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// Whether spans of this trace are recorded.
    pub sampled: bool,
}

/// Length of version 00: `00-` 32 hex digits `-` 16 hex digits `-` 2 hex digits.
const LENGTH: usize = 55;

impl TraceContext {
    /// Reads a `traceparent`. `None` if it is not one, by the rules of the recommendation: lower-case hex,
    /// no zero ids, version `ff` never; a later version may have more after what version 00 has.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        if bytes.len() < LENGTH || [2, 35, 52].iter().any(|&at| bytes[at] != b'-') {
            return None;
        }
        let version = hex(&bytes[0..2])?;
        let ends_well = bytes.len() == LENGTH || (version > 0 && bytes[LENGTH] == b'-');
        if version == 0xff || !ends_well {
            return None;
        }
        let trace = hex(&bytes[3..35])?;
        let span = u64::try_from(hex(&bytes[36..52])?).ok()?;
        let flags = hex(&bytes[53..55])?;
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// Whether this names a trace that is recorded. Cheaper than reading all of it.
    #[must_use]
    pub fn is_sampled(traceparent: &str) -> bool {
        traceparent.as_bytes().get(53..55).and_then(hex).is_some_and(|flags| flags & 1 == 1)
    }
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// As a `traceparent` of version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written_alike() {
        let context = TraceContext::parse(GOOD).unwrap();
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((context.span, context.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(context.to_string(), GOOD);
        assert!(TraceContext::is_sampled(GOOD));
        let off = GOOD.replace("-01", "-00");
        assert!(!TraceContext::parse(&off).unwrap().sampled);
        assert!(!TraceContext::is_sampled(&off));
    }

    #[test]
    fn a_later_version_may_say_more_and_other_flags_are_ignored() {
        let later = GOOD.replacen("00", "01", 1) + "-more";
        assert_eq!(TraceContext::parse(&later), TraceContext::parse(GOOD));
        let random = GOOD.replace("-01", "-03");
        assert!(TraceContext::parse(&random).unwrap().sampled);
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let bad = [
            "",
            "00-ab-cd-01",
            &GOOD[..54],
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &format!("{GOOD}-more"),
            &GOOD.replacen("00", "01", 1).replace("-01", "-01x"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("b7-", "b7_"),
            &GOOD.replace("aa0b", "ä0b"),
        ];
        for text in bad {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }
}
