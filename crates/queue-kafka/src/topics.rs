//! What is asked of the broker about topics. All calls here block: they are for the keeper's thread.

use crate::error::Error;
use crate::options::{Options, max_message};
use crate::report::Plain;
use futures::executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic,
    OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// The setting that holds a topic's marker. It says for how long a compacted topic keeps its tombstones; ours
/// are never compacted, so its value means nothing to the broker. It comes and goes with the topic.
const MARKER: &str = "delete.retention.ms";

/// No person sets it to 35,000 years: what is less is no marker.
const LEAST_MARKER: i64 = 1 << 50;

/// How long the broker may take to let all its nodes know of a new topic.
const PROPAGATION: Duration = Duration::from_secs(2);

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Commands,
    Steps,
}

/// What is known of a topic, with the settings that were made for it alone.
#[derive(Debug)]
pub(crate) enum Found {
    Missing,
    Unmarked(BTreeMap<String, String>),
    Marked(i64, BTreeMap<String, String>),
}

/// The broker's topics.
pub(crate) struct Topics {
    admin: AdminClient<Plain>,
    options: Options,
}

impl Topics {
    pub(crate) fn connect(options: &Options) -> Result<Self, Error> {
        let admin = options
            .client("keeper")
            .create_with_context(Plain)
            .map_err(Error::kafka("make a client for its topics"))?;
        Ok(Self { admin, options: options.clone() })
    }

    fn ask(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.options.request_timeout))
            .operation_timeout(Some(PROPAGATION.min(self.options.request_timeout)))
    }

    pub(crate) fn cluster(&self) -> Result<String, Error> {
        let id = self.admin.inner().fetch_cluster_id(self.options.request_timeout);
        id.ok_or_else(|| self.late("tell its cluster's id"))
    }

    /// Topics whose names begin so.
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let all = self.admin.inner().fetch_metadata(None, self.options.request_timeout);
        let all = all.map_err(Error::kafka("list its topics"))?;
        Ok(all.topics().iter().map(|t| t.name().to_owned()).filter(|name| name.starts_with(prefix)).collect())
    }

    /// How many partitions a topic has, as far as the broker asked knows.
    pub(crate) fn partitions(&self, topic: &str) -> Result<usize, Error> {
        let metadata = self.admin.inner().fetch_metadata(Some(topic), self.options.request_timeout);
        let metadata = metadata.map_err(Error::kafka("describe a topic"))?;
        Ok(metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len()))
    }

    /// Does each partition have a leader that knows it is one? Before that it refuses what comes, and may take
    /// what comes right behind; the client then believes that it took both, and the first is lost (librdkafka
    /// 2.12: a sequence number that is confirmed confirms those before it).
    pub(crate) fn is_led(&self, topic: &str, partitions: usize) -> bool {
        let ask = |p| self.admin.inner().fetch_watermarks(topic, p, self.options.request_timeout);
        (0..i32::try_from(partitions).unwrap_or(i32::MAX)).all(|p| ask(p).is_ok())
    }

    pub(crate) fn describe(&self, topics: &BTreeSet<String>) -> Result<BTreeMap<String, Found>, Error> {
        let resources: Vec<_> = topics.iter().map(|t| ResourceSpecifier::Topic(t)).collect();
        let answer = block_on(self.admin.describe_configs(&resources, &self.ask()));
        let answer = answer.map_err(Error::kafka("describe topics"))?;
        let mut found = BTreeMap::new();
        for resource in answer.into_iter().flatten() {
            if let OwnedResourceSpecifier::Topic(name) = &resource.specifier {
                found.insert(name.clone(), what_is(&resource));
            }
        }
        Ok(found)
    }

    /// Makes a topic. Its marker, if it was not there.
    pub(crate) fn create(&self, topic: &str, used: Use) -> Result<Option<i64>, Error> {
        let marker = fresh_marker();
        let settings = settings(used, marker);
        let partitions = match used {
            Use::Commands => self.options.partitions,
            Use::Steps => self.options.pool_partitions,
        };
        // -1 asks for the broker's default.
        let replication = TopicReplication::Fixed(self.options.replication.map_or(-1, i32::from));
        let mut new = NewTopic::new(topic, i32::from(partitions.max(1)), replication);
        for (name, value) in &settings {
            new = new.set(name, value);
        }
        let made = block_on(self.admin.create_topics(&[new], &self.ask())).map_err(Error::kafka("make a topic"))?;
        match made.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(None),
            Some(Err((topic, code))) => Err(Error::Refused { operation: "make", topic, code }),
            Some(Ok(_)) | None => {
                tracing::info!(topic, partitions, "made a topic");
                Ok(Some(marker))
            }
        }
    }

    /// Gives a topic a marker, and keeps what else was set for it. One that has none was made by somebody
    /// else: it also gets what ours have.
    pub(crate) fn mark(&self, topic: &str, used: Use, found: &Found, marker: i64) -> Result<(), Error> {
        let (mut all, own) = match found {
            Found::Missing => return Ok(()),
            Found::Unmarked(own) => (settings(used, marker), own),
            Found::Marked(_, own) => (BTreeMap::new(), own),
        };
        all.extend(own.clone());
        all.insert(MARKER.to_owned(), marker.to_string());
        if matches!(found, Found::Unmarked(_)) {
            all.insert("max.message.bytes".to_owned(), max_message());
        }
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (name, value) in &all {
            change = change.set(name, value);
        }
        block_on(self.admin.alter_configs(&[change], &self.ask())).map_err(Error::kafka("mark a topic"))?;
        tracing::info!(topic, "marked a topic");
        Ok(())
    }

    /// Adds partitions up to this many.
    pub(crate) fn grow(&self, topic: &str, partitions: u16) -> Result<(), Error> {
        let more = NewPartitions::new(topic, usize::from(partitions));
        let grown = block_on(self.admin.create_partitions(&[more], &self.ask()));
        match grown.map_err(Error::kafka("add partitions"))?.into_iter().next() {
            // Somebody else did.
            Some(Err((_, RDKafkaErrorCode::InvalidPartitions))) | Some(Ok(_)) | None => Ok(()),
            Some(Err((topic, code))) => Err(Error::Refused { operation: "add partitions to", topic, code }),
        }
    }

    /// Deletes what lies below these offsets.
    pub(crate) fn delete_below(&self, topic: &str, marks: &[(i32, i64)]) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(marks.len());
        for (partition, mark) in marks {
            list.add_partition_offset(topic, *partition, Offset::Offset(*mark))
                .map_err(Error::kafka("name an offset"))?;
        }
        block_on(self.admin.delete_records(&list, &self.ask())).map_err(Error::kafka("delete what is done"))?;
        Ok(())
    }

    /// Deletes topics, and what they hold.
    pub(crate) fn delete(&self, topics: &[String]) -> Result<(), Error> {
        if topics.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let deleted = block_on(self.admin.delete_topics(&names, &self.ask()));
        for one in deleted.map_err(Error::kafka("delete topics"))? {
            match one {
                // Somebody else did.
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => return Err(Error::Refused { operation: "delete", topic, code }),
            }
        }
        Ok(())
    }

    fn late(&self, operation: &'static str) -> Error {
        let seconds = self.options.request_timeout.as_secs();
        Error::Late { brokers: self.options.brokers.clone(), operation, seconds }
    }
}

/// An answer without settings is the answer for a topic that is not there.
fn what_is(resource: &ConfigResource) -> Found {
    if resource.entries.is_empty() {
        return Found::Missing;
    }
    let own = resource.entries.iter().filter(|e| e.source == ConfigSource::DynamicTopic && !e.is_sensitive);
    let own: BTreeMap<String, String> = own.filter_map(|e| Some((e.name.clone(), e.value.clone()?))).collect();
    match own.get(MARKER).and_then(|value| value.parse().ok()) {
        Some(marker) if marker >= LEAST_MARKER => Found::Marked(marker, own),
        _ => Found::Unmarked(own),
    }
}

/// Nothing is kept for good: what is lost here is published again. What is not done is bounded by the owners'
/// windows, and far below these sizes (per partition).
fn settings(used: Use, marker: i64) -> BTreeMap<String, String> {
    let (days, bytes) = match used {
        Use::Commands => (7_u64, 1_u64 << 30),
        Use::Steps => (7, 256 << 20),
    };
    let all = [
        (MARKER, marker.to_string()),
        ("cleanup.policy", "delete".to_owned()),
        ("max.message.bytes", max_message()),
        ("message.timestamp.type", "CreateTime".to_owned()),
        ("retention.bytes", bytes.to_string()),
        ("retention.ms", (days * 86_400_000).to_string()),
        ("segment.bytes", (64 << 20).to_string()),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).into()
}

pub(crate) fn fresh_marker() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "it must differ from that of every topic before, whoever made it")]
    let random = Uuid::new_v4();
    // The low half begins with the variant's bits, 10: this is at least 2^60, and one may be added for ever.
    i64::try_from(random.as_u64_pair().1 >> 3).expect("61 bits")
}

/// The marker of a topic's next life.
pub(crate) fn next_marker(marker: i64) -> i64 {
    marker + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_differ_and_are_known_as_such() {
        let (one, other) = (fresh_marker(), fresh_marker());
        assert_ne!(one, other);
        assert!(one >= LEAST_MARKER && next_marker(one) > one);
    }
}
