//! Typed ids and the numbers that tell things apart.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

/// An id, name or digest that is not of its form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} '{found}' is not of the form: {form}")]
pub struct IdError {
    what: &'static str,
    found: String,
    form: &'static str,
}

impl IdError {
    pub(crate) fn new(what: &'static str, found: &str, form: &'static str) -> Self {
        Self { what, found: found.chars().take(80).collect(), form }
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);
        impl $name {
            /// The number after this one.
            #[must_use]
            pub fn next(self) -> Self { Self(self.0 + 1) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
    };
}

number! {
    /// Rises when somebody takes a partition; the fence of every owner transaction.
    Epoch(u64)
}
number! {
    /// Number of an event within its run, from 1, without gaps.
    Seq(u64)
}
number! {
    /// Rises per partition with each step handed out; what has been published is a prefix of it.
    OutSeq(u64)
}
number! {
    /// Rises each time a step is handed out and is never reset: the fencing token. 0 = never handed out.
    DispatchNo(u32)
}
number! {
    /// Rises when the retry policy retries a *failed* step; starts at 1 in each generation.
    Attempt(u32)
}
number! {
    /// Rises when a person retries or forks: new effects are wanted. Starts at 1.
    Generation(u32)
}
number! {
    /// A share of the runs with a single writer; `0..partitions`.
    PartitionId(u16)
}
number! {
    /// Rises with each owner transaction on a partition; tells whether an ambiguous commit happened.
    BatchId(u64)
}
number! {
    /// Index of a step in its run's snapshot.
    StepIx(u32)
}

impl PartitionId {
    /// The partition of a run, of `count`. Depends on nothing but the id.
    #[must_use]
    pub fn of(run: RunId, count: u16) -> Self {
        // The low half of a UUIDv7 is random; a UUIDv5 is all hash.
        let low = u64::from_be_bytes(run.0.as_bytes()[8..].try_into().expect("8 of 16 bytes"));
        Self(u16::try_from(low % u64::from(count.max(1))).expect("below a u16"))
    }
}

macro_rules! prefixed {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                s.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32)
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| IdError::new(stringify!($name), s, concat!($prefix, "_ and 32 hex digits")))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(self) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

prefixed! {
    /// One execution of a plan: `run_…` (UUIDv7; UUIDv5 for a child).
    RunId, "run"
}
prefixed! {
    /// A message to a run: `cmd_…`; unique in the inbox, so a command sent twice is applied once.
    CommandId, "cmd"
}
prefixed! {
    /// One life of a service process: `proc_…`.
    ProcessId, "proc"
}
prefixed! {
    /// One life of a worker, kept across its reconnections: `wrk_…`.
    WorkerId, "wrk"
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $form:literal, $max:literal, $first:expr, $rest:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);
        impl $name {
            /// Checks the form.
            pub fn new(s: &str) -> Result<Self, IdError> {
                let first: fn(char) -> bool = $first;
                let rest: fn(char) -> bool = $rest;
                let ok = s.len() <= $max && s.starts_with(first) && s.chars().skip(1).all(rest);
                ok.then(|| Self(s.into())).ok_or_else(|| IdError::new($what, s, $form))
            }
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> { Self::new(s) }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(&self.0) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// The tenancy word: in every key, quota and permission.
    Project, "project", "a letter or digit, then up to 62 of a-z 0-9 - _", 63,
    |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
}
name! {
    /// Workers that serve the same tools.
    Pool, "pool", "a letter or digit, then up to 62 of a-z 0-9 - _", 63,
    |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
}
name! {
    /// Names a step within its run: `build`, `build[3]`, `@workspace`.
    StepPath, "step path", "a letter or @, then up to 199 of a-z A-Z 0-9 - _ . / [ ]", 200,
    |c| c.is_ascii_alphabetic() || c == '@' || c == '_',
    |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '[' | ']')
}

impl Default for Project {
    fn default() -> Self {
        Self("default".into())
    }
}

/// The idempotency key that a tool sees: the same for every dispatch of the same wanted effect.
///
/// An ambiguous outcome repeats it. `known_failed_attempt` is mixed in only after a failure that is
/// *known* to have had no effect.
#[must_use]
pub fn idempotency_key(
    run: RunId,
    path: &StepPath,
    generation: Generation,
    call: u32,
    known_failed_attempt: Option<Attempt>,
) -> String {
    let mut text = format!("{run}\n{path}\n{generation}\n{call}");
    if let Some(a) = known_failed_attempt {
        text.push_str(&format!("\n{a}"));
    }
    super::Digest::of(text.as_bytes()).to_string()["sha256:".len()..][..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_refuse_other_forms() {
        let run = RunId(Uuid::from_u128(7));
        assert_eq!(run.to_string().parse::<RunId>(), Ok(run));
        assert!("cmd_00000000000000000000000000000007".parse::<RunId>().is_err());
        assert!("run_7".parse::<RunId>().is_err());
        assert!(Project::new("Team A").is_err());
        assert!(Project::new("").is_err());
        assert!(StepPath::new("build[3]").is_ok());
    }

    #[test]
    fn a_key_is_the_same_until_a_known_failure_or_a_new_generation() {
        let (run, path) = (RunId(Uuid::from_u128(1)), StepPath::new("a").unwrap());
        let key = |g, a| idempotency_key(run, &path, Generation(g), 0, a);
        assert_eq!(key(1, None), key(1, None));
        assert_ne!(key(1, None), key(2, None));
        assert_ne!(key(1, None), key(1, Some(Attempt(1))));
    }
}
