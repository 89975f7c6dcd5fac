//! What the broker can do when a plain client asks for nothing but messages: what a stack is compared with.

use crate::error::Error;
use crate::options::Options;
use crate::report::Plain;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::Duration;
use tokio::time::Instant;

/// Messages that are sent and not received yet.
const WINDOW: usize = 256;
/// Messages in a row to one partition.
const ROW: usize = 16;
const PARTITIONS: i32 = 16;
const BODY: [u8; 1_024] = [7; 1_024];
const ALONE: usize = 500;
/// A new topic is known everywhere after a while.
const FIRST: Duration = Duration::from_secs(10);

/// A topic's, end to end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Messages of 1 KiB confirmed by all replicas and consumed in a second, 256 under way.
    pub messages_per_s: f64,
    /// The median time from publishing such a message alone until it is consumed.
    pub alone: Duration,
}

impl Limits {
    /// Measures for about as long as `spent`, and half a second, on a topic of its own that is deleted afterwards.
    /// Not cancel safe: then the topic stays.
    ///
    /// # Errors
    /// When the options are not sound, or the broker fails.
    pub async fn measure(options: &Options, spent: Duration) -> Result<Self, Error> {
        options.check()?;
        let failed = || Error::kafka("measure its limits");
        let topic = format!("{}.limits", options.prefix);
        let admin: AdminClient<Plain> = options.client("limits").create_with_context(Plain).map_err(failed())?;
        let replication = TopicReplication::Fixed(options.replication.map_or(-1, i32::from));
        let asked = AdminOptions::new().operation_timeout(Some(Duration::from_secs(2)));
        admin.create_topics(&[NewTopic::new(&topic, PARTITIONS, replication)], &asked).await.map_err(failed())?;
        let measured = measure(options, &topic, spent).await;
        admin.delete_topics(&[&topic], &asked).await.map_err(failed())?;
        measured.map_err(failed())
    }
}

async fn measure(options: &Options, topic: &str, spent: Duration) -> Result<Limits, KafkaError> {
    let raw = Raw::open(options.producer(), options.consumer("limits", topic), topic).await?;
    let messages_per_s = raw.rate(spent).await?;
    Ok(Limits { messages_per_s, alone: raw.alone().await? })
}

struct Raw<'t> {
    producer: FutureProducer,
    consumer: StreamConsumer,
    topic: &'t str,
}

impl<'t> Raw<'t> {
    async fn open(producer: ClientConfig, mut consumer: ClientConfig, topic: &'t str) -> Result<Self, KafkaError> {
        let producer: FutureProducer = producer.create()?;
        consumer.set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
        let consumer: StreamConsumer = consumer.create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let raw = Self { producer, consumer, topic };
        // Once through each, so that everything is connected.
        for partition in 0..PARTITIONS {
            raw.producer.send(raw.record(partition), FIRST).await.map_err(|(error, _)| error)?;
            while raw.consumer.recv().await.is_err() {}
        }
        Ok(raw)
    }

    fn record(&self, partition: i32) -> FutureRecord<'_, (), [u8]> {
        FutureRecord::to(self.topic).partition(partition).payload(&BODY)
    }

    async fn rate(&self, spent: Duration) -> Result<f64, KafkaError> {
        let begin = Instant::now();
        let (mut sent, mut got, mut confirms) = (0_usize, 0_usize, FuturesUnordered::new());
        while begin.elapsed() < spent || got < sent {
            while sent - got < WINDOW && begin.elapsed() < spent {
                let to = i32::try_from(sent / ROW % PARTITIONS as usize).unwrap_or(0);
                confirms.push(self.producer.send_result(self.record(to)).map_err(|(error, _)| error)?);
                sent += 1;
            }
            tokio::select! {
                biased;
                Some(Ok(confirmed)) = confirms.next() => {
                    confirmed.map_err(|(error, _)| error)?;
                }
                message = self.consumer.recv(), if got < sent => {
                    message?;
                    got += 1;
                }
            }
        }
        Ok(got as f64 / begin.elapsed().as_secs_f64())
    }

    async fn alone(&self) -> Result<Duration, KafkaError> {
        let mut times = Vec::with_capacity(ALONE);
        for _ in 0..ALONE {
            let begin = Instant::now();
            let confirm = self.producer.send_result(self.record(0)).map_err(|(error, _)| error)?;
            self.consumer.recv().await?;
            times.push(begin.elapsed());
            if let Ok(confirmed) = confirm.await {
                confirmed.map_err(|(error, _)| error)?;
            }
        }
        times.sort_unstable();
        Ok(times[ALONE / 2])
    }
}
