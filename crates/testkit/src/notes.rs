//! What a world writes down of itself: counts always, a replay when asked.

use crate::Invariant;
use aidt_domain::Timestamp;
use std::collections::BTreeMap;

/// Counted things: `(kind, name)`, e.g. `("fault", "kill")`.
pub(crate) type Histogram = BTreeMap<(&'static str, &'static str), u64>;

#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) tracing: bool,
    pub(crate) lines: Vec<String>,
    pub(crate) counts: Histogram,
    pub(crate) broken: BTreeMap<Invariant, String>,
    /// FNV-1a over everything that was committed, with its time.
    pub(crate) digest: u64,
}

impl Notes {
    pub(crate) fn new(tracing: bool) -> Self {
        Self { tracing, digest: 0xcbf2_9ce4_8422_2325, ..Self::default() }
    }

    pub(crate) fn count(&mut self, kind: &'static str, name: &'static str) {
        *self.counts.entry((kind, name)).or_default() += 1;
    }

    pub(crate) fn total(&self, kind: &'static str) -> u64 {
        self.counts.range((kind, "")..).take_while(|((k, _), _)| *k == kind).map(|(_, n)| n).sum()
    }

    pub(crate) fn line(&mut self, at: Timestamp, text: impl FnOnce() -> String) {
        if self.tracing {
            self.lines.push(format!("{:>9.3} s  {}", at.0 as f64 / 1000.0, text()));
        }
    }

    pub(crate) fn breaks(&mut self, at: Timestamp, invariant: Invariant, why: impl FnOnce() -> String) {
        if self.broken.contains_key(&invariant) {
            return;
        }
        let why = why();
        self.line(at, || format!("BROKEN {invariant}: {why}"));
        self.broken.insert(invariant, why);
    }

    pub(crate) fn digest(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.digest = (self.digest ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        }
    }
}
