//! The stream of some partitions' commands: assigned by whoever owns them, read from the owner's cursors.

use crate::desk::Desk;
use crate::keeper::Keeper;
use aidt_domain::PartitionId;
use aidt_queue::{Commands, Delivery, QueueError, Tag};
use async_trait::async_trait;
use std::sync::Arc;

/// A stream of commands.
#[derive(Debug)]
pub(crate) struct KafkaCommands {
    desk: Arc<Desk>,
    /// For as long as there is a stream, its topic is looked after.
    _keeper: Arc<Keeper>,
}

impl KafkaCommands {
    pub(crate) fn new(desk: Arc<Desk>, keeper: Arc<Keeper>) -> Self {
        Self { desk, _keeper: keeper }
    }
}

#[async_trait]
impl Commands for KafkaCommands {
    async fn recv(&mut self, max: usize) -> Result<(Vec<(PartitionId, Delivery)>, Vec<PartitionId>), QueueError> {
        loop {
            let (messages, nudged) = self.desk.take(max.max(1)).map_err(|e| e.of("recv"))?;
            if !messages.is_empty() || !nudged.is_empty() {
                let deliveries = messages.into_iter().map(|message| {
                    let delivery = Delivery {
                        tag: Tag(u64::try_from(message.offset).unwrap_or_default()),
                        body: message.body,
                        published_at: message.published_at,
                        doubtful: message.doubtful,
                    };
                    (ours(message.partition), delivery)
                });
                return Ok((deliveries.collect(), nudged.into_iter().map(ours).collect()));
            }
            self.desk.arrived().await;
        }
    }

    async fn ack(&mut self, tags: &[(PartitionId, Tag)]) -> Result<(), QueueError> {
        let places = tags.iter().filter_map(|(p, tag)| Some((i32::from(p.0), i64::try_from(tag.0).ok()?)));
        self.desk.ack(places);
        Ok(())
    }

    fn cursors(&self) -> Vec<(PartitionId, i64)> {
        self.desk.watermarks().into_iter().map(|(partition, mark)| (ours(partition), mark)).collect()
    }
}

impl Drop for KafkaCommands {
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// The partition of aidt that a Kafka partition is for: the same number.
fn ours(partition: i32) -> PartitionId {
    PartitionId(u16::try_from(partition).expect("assigned from a u16"))
}
