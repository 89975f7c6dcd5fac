//! Who of several processes should have what: each works it out alone, and those who see the same processes agree.

use crate::{Digest, PartitionId, ProcessId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// Rendezvous hashing: whoever weighs most for a thing should have it, so one process more or less moves only
/// its share.
fn weight(thing: impl Display, process: ProcessId) -> Digest {
    Digest::of(format!("{thing}\n{process}").as_bytes())
}

/// Who should own a partition. `None` without owners.
#[must_use]
pub fn owner_of(partition: PartitionId, owners: impl IntoIterator<Item = ProcessId>) -> Option<ProcessId> {
    owners.into_iter().max_by_key(|process| weight(partition, *process))
}

/// The partitions that `process` should own beside these owners, itself among them or not.
#[must_use]
pub fn share_of(process: ProcessId, owners: &[ProcessId], partitions: u16) -> BTreeSet<PartitionId> {
    let mine = |partition: &PartitionId| owner_of(*partition, owners.iter().copied().chain([process])) == Some(process);
    (0..partitions).map(PartitionId).filter(mine).collect()
}

/// Which of so many parts of a thing `process` should have; none if it is not among those who share it.
///
/// Each part goes to whoever weighs most for it and has room: nobody has two more than another. So a few parts
/// are enough to keep everybody busy, which chance alone does not see to; a process more or less moves its own
/// share and a few parts besides.
#[must_use]
pub fn even_share_of(process: ProcessId, sharers: &BTreeSet<ProcessId>, parts: u32) -> BTreeSet<u32> {
    let count = u32::try_from(sharers.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return BTreeSet::new();
    }
    let (least, mut one_more) = (parts / count, parts % count);
    let mut taken: BTreeMap<ProcessId, u32> = sharers.iter().map(|sharer| (*sharer, 0)).collect();
    let mut mine = BTreeSet::new();
    for part in 0..parts {
        let has_room = |has: u32| has < least || (has == least && one_more > 0);
        let with_room = taken.iter_mut().filter(|(_, has)| has_room(**has));
        let Some((sharer, has)) = with_room.max_by_key(|(sharer, _)| weight(part, **sharer)) else { break };
        one_more -= u32::from(*has == least);
        *has += 1;
        if *sharer == process {
            mine.insert(part);
        }
    }
    mine
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn process(n: u128) -> ProcessId {
        ProcessId(Uuid::from_u128(n))
    }

    fn processes(range: std::ops::RangeInclusive<u128>) -> BTreeSet<ProcessId> {
        range.map(process).collect()
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

    #[test]
    fn those_who_agree_on_who_shares_leave_no_part_to_nobody_or_two_and_none_has_two_more() {
        for count in 1..=20 {
            let sharers = processes(1..=count);
            let shares: Vec<_> = sharers.iter().map(|p| even_share_of(*p, &sharers, 16)).collect();
            let parts: Vec<u32> = shares.iter().flatten().copied().collect();
            assert_eq!((parts.len(), parts.into_iter().collect()), (16, (0..16).collect::<BTreeSet<_>>()));
            let sizes = shares.iter().map(BTreeSet::len);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1, "{shares:?}");
        }
    }

    #[test]
    fn who_does_not_share_has_nothing() {
        assert_eq!(even_share_of(process(1), &BTreeSet::new(), 16), BTreeSet::new());
        assert_eq!(even_share_of(process(4), &processes(1..=3), 16), BTreeSet::new());
        assert_eq!(even_share_of(process(1), &processes(1..=1), 16).len(), 16);
    }

    #[test]
    fn when_one_goes_the_others_keep_most_of_what_they_have() {
        let (before, after) = (processes(1..=4), processes(1..=3));
        let kept = after.iter().map(|p| {
            let (had, has) = (even_share_of(*p, &before, 64), even_share_of(*p, &after, 64));
            had.intersection(&has).count()
        });
        let kept: usize = kept.sum();
        assert!(kept >= 36, "{kept} of 48 stay where they are");
    }
}
