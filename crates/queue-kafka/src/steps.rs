//! The stream of a pool's steps: one of the readers that share the partitions of the pool's topic.

use crate::desk::{Desk, Message};
use crate::keeper::Keeper;
use crate::part::Part;
use aidt_queue::{Delivery, QueueError, Readers, Steps, Tag};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bits of a tag that hold the offset; above them is the Kafka partition.
const OFFSET_BITS: u32 = 48;

/// A stream of steps.
#[derive(Debug)]
pub(crate) struct KafkaSteps {
    desk: Arc<Desk>,
    prefetch: usize,
    /// Delivered and not acked, also of partitions that are another's by now: they have a slot each.
    in_hand: BTreeSet<Tag>,
    /// For as long as there is a stream, its topic is looked after.
    _keeper: Arc<Keeper>,
}

impl KafkaSteps {
    pub(crate) fn new(desk: Arc<Desk>, prefetch: u32, keeper: Arc<Keeper>) -> Self {
        Self { desk, prefetch: bound(prefetch), in_hand: BTreeSet::new(), _keeper: keeper }
    }
}

fn bound(prefetch: u32) -> usize {
    usize::try_from(prefetch).unwrap_or(usize::MAX).max(1)
}

#[async_trait]
impl Steps for KafkaSteps {
    async fn recv(&mut self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        self.desk.read_something();
        loop {
            let room = self.prefetch.saturating_sub(self.in_hand.len());
            let (messages, _) = self.desk.take(max.max(1).min(room)).map_err(|e| e.of("recv"))?;
            if !messages.is_empty() {
                let deliveries = messages.into_iter().map(delivery);
                // Given up, had again and still being worked on here: one ack is for both.
                let deliveries: Vec<Delivery> = deliveries.filter(|d| self.in_hand.insert(d.tag)).collect();
                if !deliveries.is_empty() {
                    return Ok(deliveries);
                }
                continue;
            }
            self.desk.arrived().await;
        }
    }

    async fn ack(&mut self, tags: &[Tag]) -> Result<(), QueueError> {
        let in_hand = &mut self.in_hand;
        self.desk.ack(tags.iter().filter(|tag| in_hand.remove(tag)).map(|tag| place(*tag)));
        Ok(())
    }

    // A new stream would read again, as doubtful, all that is in hand.
    fn set_prefetch(&mut self, prefetch: u32) -> bool {
        self.prefetch = bound(prefetch);
        true
    }

    fn share(&mut self, readers: &Readers) {
        self.desk.read(Part::Among(readers.clone()));
    }
}

impl Drop for KafkaSteps {
    fn drop(&mut self) {
        self.desk.close();
    }
}

fn delivery(message: Message) -> Delivery {
    let partition = u64::try_from(message.partition).unwrap_or_default();
    let offset = u64::try_from(message.offset).unwrap_or_default();
    Delivery {
        tag: Tag(partition << OFFSET_BITS | offset),
        body: message.body,
        published_at: message.published_at,
        doubtful: message.doubtful,
    }
}

/// Partition and offset.
fn place(tag: Tag) -> (i32, i64) {
    let offset = tag.0 & ((1 << OFFSET_BITS) - 1);
    let partition = i32::try_from(tag.0 >> OFFSET_BITS).expect("16 bits");
    (partition, i64::try_from(offset).expect("48 bits"))
}
