//! The partitions that a stream of steps reads: its part of the topic, as it is told.

use super::offsets::offsets;
use super::{Context, commit, topic_partitions};
use crate::desk::Desk;
use crate::part::Part;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// How often partitions are counted: somebody may have added some.
const COUNT_AGAIN: Duration = Duration::from_secs(5);

/// What is read now, and what it follows from.
#[derive(Debug)]
pub(super) struct Share {
    partitions: i32,
    counted: Instant,
    part: Option<Part>,
    mine: BTreeSet<i32>,
    /// It is what it should be.
    settled: bool,
}

impl Share {
    /// Of a topic with so many partitions; of none until it is told of which.
    pub(super) fn new(partitions: i32) -> Self {
        Self { partitions, counted: Instant::now(), part: None, mine: BTreeSet::new(), settled: true }
    }

    /// Gives up what is another's by now, and takes what is its own. Nothing that was fetched may be on the way to the desk.
    pub(super) fn follow(&mut self, consumer: &BaseConsumer<Context>, desk: &Desk) {
        if let Some(part) = desk.take_part() {
            self.part = Some(part);
            self.settled = false;
        }
        if self.counted.elapsed() >= COUNT_AGAIN {
            self.count(consumer, desk);
        }
        let Some(part) = self.part.as_ref().filter(|_| !self.settled) else { return };
        let wanted = part.of(self.partitions);
        let lost: BTreeSet<i32> = self.mine.difference(&wanted).copied().collect();
        let gained: BTreeSet<i32> = wanted.difference(&self.mine).copied().collect();
        tracing::debug!(topic = desk.origin().topic, ?lost, ?gained, "shared out anew");
        let moved = self.give_up(consumer, desk, &lost).and_then(|()| self.take(consumer, desk, &gained));
        if let Err(error) = &moved {
            tracing::warn!(topic = desk.origin().topic, %error, "partitions could not be changed; it is tried again");
        }
        self.settled = moved.is_ok();
    }

    fn count(&mut self, consumer: &BaseConsumer<Context>, desk: &Desk) {
        self.counted = Instant::now();
        let topic = &desk.origin().topic;
        let Ok(metadata) = consumer.fetch_metadata(Some(topic), consumer.context().timeout) else { return };
        let found = metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len());
        let found = i32::try_from(found).unwrap_or(i32::MAX);
        // Fewer is another topic, of which the keeper tells, or a broker that has not heard of all.
        if found > self.partitions {
            self.partitions = found;
            self.settled = false;
        }
    }

    /// What is acked is committed before another is likely to look for it.
    fn give_up(&mut self, consumer: &BaseConsumer<Context>, desk: &Desk, lost: &BTreeSet<i32>) -> KafkaResult<()> {
        if lost.is_empty() {
            return Ok(());
        }
        commit(consumer, desk, desk.revoke(lost));
        consumer.incremental_unassign(&topic_partitions(desk, lost))?;
        self.mine.retain(|partition| !lost.contains(partition));
        Ok(())
    }

    /// From where whoever had it last has committed. What is there by now is doubtful: it may have been in hand.
    fn take(&mut self, consumer: &BaseConsumer<Context>, desk: &Desk, gained: &BTreeSet<i32>) -> KafkaResult<()> {
        if gained.is_empty() {
            return Ok(());
        }
        let topic = &desk.origin().topic;
        // Where it is not known yet, all is doubtful until it is.
        let ends = offsets(consumer, topic, gained, Offset::End, consumer.context().timeout).unwrap_or_default();
        let mut list = TopicPartitionList::with_capacity(gained.len());
        for partition in gained {
            list.add_partition_offset(topic, *partition, Offset::Stored)?;
        }
        desk.assign(gained.iter().map(|p| (*p, None, ends.get(p).copied())));
        consumer.incremental_assign(&list)?;
        self.mine.extend(gained);
        // Paused when it was given up, it would be so still.
        consumer.resume(&list)
    }
}
