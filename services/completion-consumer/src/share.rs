//! Which partitions are whose: rendezvous hashing, so that one owner more or less moves only its share.

use aidt_domain::{Digest, PartitionId, ProcessId};
use std::collections::BTreeSet;

/// Who should own a partition: whoever has the highest hash of (partition, process). `None` without owners.
#[must_use]
pub fn owner_of(partition: PartitionId, owners: impl IntoIterator<Item = ProcessId>) -> Option<ProcessId> {
    owners.into_iter().max_by_key(|process| Digest::of(format!("{partition}\n{process}").as_bytes()))
}

/// The partitions that `process` should own beside these owners, itself among them or not.
#[must_use]
pub fn share_of(process: ProcessId, owners: &[ProcessId], partitions: u16) -> BTreeSet<PartitionId> {
    let mine = |partition: &PartitionId| owner_of(*partition, owners.iter().copied().chain([process])) == Some(process);
    (0..partitions).map(PartitionId).filter(mine).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn process(n: u128) -> ProcessId {
        ProcessId(Uuid::from_u128(n))
    }

    #[test]
    fn every_partition_has_one_owner_and_each_owner_a_share() {
        let owners: Vec<ProcessId> = (1..=3).map(process).collect();
        let shares: Vec<_> = owners.iter().map(|p| share_of(*p, &owners, 32)).collect();
        assert_eq!(shares.iter().map(BTreeSet::len).sum::<usize>(), 32);
        assert!(shares.iter().all(|s| s.len() > 3), "{shares:?}");
        assert_eq!(share_of(process(1), &[], 8).len(), 8, "alone it has all");
    }

    #[test]
    fn an_owner_more_takes_and_moves_nothing_else() {
        let two: Vec<ProcessId> = (1..=2).map(process).collect();
        let three: Vec<ProcessId> = (1..=3).map(process).collect();
        for owner in &two {
            assert!(share_of(*owner, &three, 64).is_subset(&share_of(*owner, &two, 64)));
        }
    }
}
