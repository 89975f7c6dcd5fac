//! What the broker can do when a plain client asks for nothing but messages: what a stack is compared with.

use crate::error::Error;
use crate::link::connect_once;
use crate::names::Names;
use crate::options::Options;
use futures::StreamExt as _;
use futures::future::join_all;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection};
use std::time::Duration;
use tokio::time::Instant;

/// Messages published at once, whose confirms are awaited together.
const BATCH: usize = 256;
/// Deliveries acked together.
const ACKED: u32 = 64;
const BODY: [u8; 1_024] = [7; 1_024];
/// The last message.
const END: &[u8] = b"end";
const ALONE: usize = 500;

/// A quorum queue's, end to end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Persistent messages of 1 KiB published with confirms, consumed and acked in a second, 256 at once.
    pub messages_per_s: f64,
    /// The median time from publishing such a message alone until it is consumed.
    pub alone: Duration,
}

impl Limits {
    /// Measures for about as long as `spent`, and half a second, on a queue of its own that is deleted afterwards.
    /// Not cancel safe: then the queue stays.
    ///
    /// # Errors
    /// When the options are not sound, or the broker fails.
    pub async fn measure(options: &Options, spent: Duration) -> Result<Self, Error> {
        options.check()?;
        let queue = Names::new(options.prefix.clone()).limits();
        let connections = [connect_once(options, "limits").await?, connect_once(options, "limits").await?];
        let measured = async {
            let raw = Raw::open(connections, &queue).await?;
            let limits = async { Ok(Self { messages_per_s: raw.rate(spent).await?, alone: raw.alone().await? }) };
            let limits: Result<Self, lapin::Error> = limits.await;
            raw.publish.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
            limits
        };
        measured.await.map_err(Error::amqp("measuring its limits"))
    }
}

struct Raw<'q> {
    publish: Channel,
    consume: Channel,
    queue: &'q str,
    _connections: [Connection; 2],
}

impl<'q> Raw<'q> {
    async fn open(connections: [Connection; 2], queue: &'q str) -> Result<Self, lapin::Error> {
        let (publish, consume) = (connections[0].create_channel().await?, connections[1].create_channel().await?);
        publish.confirm_select(ConfirmSelectOptions::default()).await?;
        consume.basic_qos(1_024, BasicQosOptions::default()).await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        publish.queue_declare(queue.into(), QueueDeclareOptions::durable(), quorum).await?;
        Ok(Self { publish, consume, queue, _connections: connections })
    }

    async fn send(&self, count: usize, body: &[u8]) -> Result<(), lapin::Error> {
        let sends = (0..count).map(|_| async {
            let (options, properties) =
                (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
            self.publish.basic_publish("".into(), self.queue.into(), options, body, properties).await?.await
        });
        for confirm in join_all(sends).await {
            confirm?;
        }
        Ok(())
    }

    async fn rate(&self, spent: Duration) -> Result<f64, lapin::Error> {
        let mut consumer = self.consumer().await?;
        let begin = Instant::now();
        let publish = async {
            while begin.elapsed() < spent {
                self.send(BATCH, &BODY).await?;
            }
            self.send(1, END).await
        };
        let take = async {
            let mut taken = 0_u32;
            while let Some(delivery) = consumer.next().await {
                let delivery = delivery?;
                let ends = delivery.data == END;
                taken += 1;
                if ends || taken.is_multiple_of(ACKED) {
                    self.consume.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await?;
                }
                if ends {
                    break;
                }
            }
            Ok::<_, lapin::Error>(taken)
        };
        let (published, taken) = tokio::join!(publish, take);
        published?;
        let rate = f64::from(taken?) / begin.elapsed().as_secs_f64();
        self.consume.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        Ok(rate)
    }

    async fn alone(&self) -> Result<Duration, lapin::Error> {
        let mut consumer = self.consumer().await?;
        let mut times = Vec::with_capacity(ALONE);
        for _ in 0..ALONE {
            let begin = Instant::now();
            let (sent, delivery) = tokio::join!(self.send(1, &BODY), consumer.next());
            sent?;
            let Some(delivery) = delivery else { break };
            times.push(begin.elapsed());
            self.consume.basic_ack(delivery?.delivery_tag, BasicAckOptions::default()).await?;
        }
        times.sort_unstable();
        Ok(times.get(times.len() / 2).copied().unwrap_or_default())
    }

    async fn consumer(&self) -> Result<lapin::Consumer, lapin::Error> {
        let options = BasicConsumeOptions::default();
        self.consume.basic_consume(self.queue.into(), "".into(), options, FieldTable::default()).await
    }
}
