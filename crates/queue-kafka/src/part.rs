//! Which partitions of a pool's topic are a stream's to read.

use aidt_domain::even_share_of;
use aidt_queue::Readers;
use std::collections::BTreeSet;

/// A part of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Nobody else is known.
    All,
    /// One share among those of these readers.
    Among(Readers),
}

impl Part {
    /// Of so many partitions.
    pub(crate) fn of(&self, partitions: i32) -> BTreeSet<i32> {
        match self {
            Self::All => (0..partitions).collect(),
            Self::Among(Readers { me, all }) => {
                let share = even_share_of(*me, all, u32::try_from(partitions).unwrap_or_default());
                share.into_iter().filter_map(|partition| i32::try_from(partition).ok()).collect()
            }
        }
    }
}
