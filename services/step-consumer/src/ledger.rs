//! Which dispatches this process has asked to claim.

use crate::life::Key;
use std::collections::{HashSet, VecDeque};

/// Far above what owners hand out at once (twice the slots of the fleet): what falls out was settled
/// long before.
const KEPT: usize = 1 << 16;

/// The dispatches that this process has asked to claim, so that it starts none of them twice.
///
/// The store answers `Won` also to a process that holds the claim already, because an ambiguous answer
/// must be asked for again. So a second delivery of a dispatch that was run, and whose result the owner
/// has not applied yet, would be won again: the store cannot tell it from the first. This can.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    asked: HashSet<Key>,
    order: VecDeque<Key>,
}

impl Ledger {
    /// Whether nobody in this process asked before; if so, the caller does now.
    pub(crate) fn reserve(&mut self, key: Key) -> bool {
        if !self.asked.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.asked.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_domain::{DispatchNo, RunId, StepIx};

    fn key(n: u32) -> Key {
        (RunId(uuid(1)), StepIx(n), DispatchNo(1))
    }

    fn uuid(n: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(n)
    }

    #[test]
    fn a_dispatch_is_reserved_once_and_forgotten_only_after_many_others() {
        let mut ledger = Ledger::default();
        assert!(ledger.reserve(key(0)));
        assert!(!ledger.reserve(key(0)));
        (1..=KEPT).for_each(|n| assert!(ledger.reserve(key(u32::try_from(n).unwrap()))));
        assert!(ledger.reserve(key(0)), "the oldest fell out");
        assert_eq!(ledger.asked.len(), ledger.order.len());
    }
}
