//! Nudges: word to owners to look into their inboxes. A fan-out to every owner that listens; what does
//! not get through costs its owner the wait for its next look, so nothing here waits or tries again.

use crate::error::{Error, within};
use crate::link::Link;
use crate::names::Names;
use aidt_domain::PartitionId;
use lapin::options::{BasicPublishOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, ExchangeKind};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Partitions to be nudged: those of many callers share a message.
#[derive(Default)]
pub(crate) struct Nudges {
    waiting: Mutex<BTreeSet<PartitionId>>,
    wake: Notify,
}

impl Nudges {
    pub(crate) fn add(&self, partitions: &[PartitionId]) {
        if partitions.is_empty() {
            return;
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(partitions);
        self.wake.notify_one();
    }

    /// Sends them for as long as it runs.
    pub(crate) async fn send(&self, link: Link, names: Names, timeout: Duration) {
        let mut channel = None;
        loop {
            self.wake.notified().await;
            let partitions = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if partitions.is_empty() {
                continue;
            }
            if let Err(error) = send(&link, &names, timeout, &mut channel, &partitions).await {
                channel = None;
                tracing::debug!(%error, "owners find what they were not nudged to in a second");
            }
        }
    }
}

async fn send(
    link: &Link,
    names: &Names,
    timeout: Duration,
    open: &mut Option<Channel>,
    partitions: &BTreeSet<PartitionId>,
) -> Result<(), Error> {
    if link.connection()?.status().blocked() {
        return Err(Error::Blocked(Duration::ZERO));
    }
    let channel = match open.take().filter(|channel| channel.status().connected()) {
        Some(channel) => channel,
        None => {
            let channel = link.channel().await?;
            declare(&channel, names, timeout).await?;
            channel
        }
    };
    let (body, options) = (encode(partitions), BasicPublishOptions::default());
    let sent = channel.basic_publish(names.nudge(), "".into(), options, &body, BasicProperties::default());
    within("nudging", timeout, sent).await?;
    *open = Some(channel);
    Ok(())
}

/// The exchange of nudges.
pub(crate) async fn declare(channel: &Channel, names: &Names, timeout: Duration) -> Result<(), Error> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let asked = channel.exchange_declare(names.nudge(), ExchangeKind::Fanout, options, FieldTable::default());
    within("declaring the exchange of nudges", timeout, asked).await
}

/// The partitions, two bytes each, big endian.
fn encode(partitions: &BTreeSet<PartitionId>) -> Vec<u8> {
    partitions.iter().flat_map(|partition| partition.0.to_be_bytes()).collect()
}

pub(crate) fn decode(body: &[u8]) -> impl Iterator<Item = PartitionId> {
    body.as_chunks().0.iter().map(|bytes| PartitionId(u16::from_be_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_nudge_stay_what_they_are() {
        let partitions = BTreeSet::from([PartitionId(1), PartitionId(0x0203)]);
        assert_eq!(encode(&partitions), [0, 1, 2, 3]);
        assert_eq!(decode(&[0, 1, 2, 3, 9]).collect::<BTreeSet<_>>(), partitions);
    }
}
