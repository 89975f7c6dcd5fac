//! How envelopes are shared out over messages.

use crate::frame::{self, ENTRY_OVERHEAD, Entry, MAX_ENTRIES};
use crate::names::Target;
use aidt_queue::Outgoing;

/// A message that is shared grows no larger than this. One envelope alone may.
const MAX_BYTES: usize = 128 * 1024;

/// A message to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) target: Target,
    pub(crate) body: Vec<u8>,
    /// Of all its entries, if they agree; each envelope carries its own besides.
    pub(crate) traceparent: Option<String>,
}

/// Packs what goes to one target, in order, into at least `spread` messages as far as there are that many
/// envelopes: consumers share messages, so each must find some.
pub(crate) fn pack(target: &Target, envelopes: Vec<Outgoing>, spread: usize) -> Vec<Parcel> {
    let each = envelopes.len().div_ceil(spread.max(1)).min(MAX_ENTRIES);
    let mut parcels = Vec::new();
    let mut open = Open::default();
    for envelope in envelopes {
        let bytes = ENTRY_OVERHEAD + envelope.body.len();
        if open.entries.len() >= each || (!open.entries.is_empty() && open.bytes + bytes > MAX_BYTES) {
            parcels.push(std::mem::take(&mut open).close(target));
        }
        open.add(envelope, bytes);
    }
    if !open.entries.is_empty() {
        parcels.push(open.close(target));
    }
    parcels
}

#[derive(Default)]
struct Open {
    entries: Vec<Entry>,
    bytes: usize,
    traceparent: Option<String>,
}

impl Open {
    fn add(&mut self, envelope: Outgoing, bytes: usize) {
        if self.entries.is_empty() {
            self.traceparent = envelope.traceparent;
        } else if self.traceparent != envelope.traceparent {
            self.traceparent = None;
        }
        self.bytes += bytes;
        self.entries.push(Entry { body: envelope.body, republished: envelope.republished });
    }

    fn close(self, target: &Target) -> Parcel {
        Parcel { target: target.clone(), body: frame::encode(&self.entries), traceparent: self.traceparent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_domain::PartitionId;
    use bytes::Bytes;

    const TARGET: Target = Target::Commands(PartitionId(3));

    fn envelope(bytes: usize, traceparent: Option<&str>) -> Outgoing {
        Outgoing { body: vec![7; bytes].into(), republished: false, traceparent: traceparent.map(str::to_owned) }
    }

    fn sizes(count: usize, bytes: usize, spread: usize) -> Vec<usize> {
        let parcels = pack(&TARGET, vec![envelope(bytes, None); count], spread);
        parcels.into_iter().map(|p| frame::decode(Bytes::from(p.body)).unwrap().len()).collect()
    }

    #[test]
    fn a_few_go_alone_and_many_share() {
        assert_eq!(sizes(1, 100, 8), [1]);
        assert_eq!(sizes(8, 100, 8), [1; 8]);
        assert_eq!(sizes(20, 100, 4), [5; 4]);
        assert_eq!(sizes(256, 100, 1), [64; 4]);
        assert_eq!(sizes(130, 100, 2), [64, 64, 2]);
        assert_eq!(sizes(0, 100, 4), [0; 0]);
    }

    #[test]
    fn a_message_is_bounded_in_bytes_but_a_large_envelope_goes_alone() {
        assert_eq!(sizes(4, 60_000, 1), [2, 2]);
        assert_eq!(sizes(3, 300_000, 1), [1; 3]);
    }

    #[test]
    fn a_trace_is_told_only_where_all_entries_are_of_it() {
        let trace = |of: &[Option<&str>]| {
            let envelopes = of.iter().map(|t| envelope(1, *t)).collect();
            pack(&TARGET, envelopes, 1).remove(0).traceparent
        };
        assert_eq!(trace(&[Some("a"), Some("a")]).as_deref(), Some("a"));
        assert_eq!(trace(&[Some("a"), Some("b"), Some("b")]), None);
        assert_eq!(trace(&[None, Some("b"), Some("b")]), None);
    }
}
