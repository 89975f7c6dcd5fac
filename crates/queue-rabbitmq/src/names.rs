//! How queues and exchanges are called.

use aidt_domain::{PartitionId, Pool};
use lapin::types::ShortString;

/// Where a message goes: one quorum queue each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The steps of a pool.
    Steps(Pool),
    /// The commands of a partition.
    Commands(PartitionId),
}

/// Names under one prefix. A prefix and a pool hold no dot, so no two stacks meet.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: String) -> Self {
        Self { prefix }
    }

    pub(crate) fn queue(&self, target: &Target) -> String {
        match target {
            Target::Steps(pool) => format!("{}.steps.{pool}", self.prefix),
            Target::Commands(partition) => format!("{}.commands.{}", self.prefix, partition.0),
        }
    }

    /// An exchange that nothing is sent to: it stands for as long as its queue is known to have existed.
    pub(crate) fn mark(&self, target: &Target) -> ShortString {
        format!("{}.known", self.queue(target)).into()
    }

    /// The exchange that carries nudges to every owner.
    pub(crate) fn nudge(&self) -> ShortString {
        format!("{}.nudge", self.prefix).into()
    }

    /// The queue that holds the incarnation.
    pub(crate) fn incarnation(&self) -> String {
        format!("{}.incarnation", self.prefix)
    }

    /// The queue that the broker's limits are measured with.
    pub(crate) fn limits(&self) -> String {
        format!("{}.limits", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_operators_look_for() {
        let names = Names::new("aidt".to_owned());
        let pool = Target::Steps(Pool::new("gpu-1").unwrap());
        assert_eq!(names.queue(&pool), "aidt.steps.gpu-1");
        assert_eq!(names.queue(&Target::Commands(PartitionId(31))), "aidt.commands.31");
        assert_eq!(names.mark(&pool).as_str(), "aidt.steps.gpu-1.known");
        assert_eq!(names.nudge().as_str(), "aidt.nudge");
        assert_eq!(names.incarnation(), "aidt.incarnation");
    }
}
