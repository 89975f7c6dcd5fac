//! Steps per second through the port, beside plain lapin with a message for each, in one run:
//! `AIDT_TEST_AMQP_URL=amqp://… cargo run --release -p aidt-queue-rabbitmq --example rates`.

use aidt_domain::{Clock, Pool, ProcessId, Timestamp};
use aidt_queue::{Outgoing, Queue};
use aidt_queue_rabbitmq::{Options, RabbitQueue};
use futures::StreamExt as _;
use futures::future::join_all;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const STEPS: usize = 40_000;
const BATCH: usize = 256;
const BYTES: usize = 1_024;
const ALONE: usize = 1_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Debug)]
struct Zero;

impl Clock for Zero {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

#[tokio::main(worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "a program of its own: it measures, and has no settings")]
async fn main() -> Outcome<()> {
    let url = std::env::var("AIDT_TEST_AMQP_URL")?;
    let prefix = format!("rates-{}", Uuid::new_v4().simple());
    let queue = RabbitQueue::connect(Options::new(
        vec![url.clone()],
        prefix.clone(),
        ProcessId(Uuid::new_v4()),
        Arc::new(Zero),
    ));
    let (queue, raw) = (queue.await?, Raw::open(&url, &format!("{prefix}.raw")).await?);
    let pool = Pool::new("p")?;
    for round in 1..=3 {
        let plain = raw.rate().await?;
        println!("round {round}: lapin, a message a step, {BATCH} at once: {plain:.0}/s");
        for batch in [16, 64, BATCH] {
            let shared = port_rate(&queue, &pool, batch).await?;
            println!("round {round}: the port, {batch} at once:              {shared:.0}/s");
        }
        told("lapin, one at a time", raw.alone().await?);
        told("the port, one at a time", port_alone(&queue, &pool).await?);
    }
    for name in [format!("{prefix}.steps.p"), format!("{prefix}.raw"), format!("{prefix}.incarnation")] {
        raw.publish.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
    }
    Ok(())
}

fn told(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    println!("  {what}: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
}

fn step() -> Outgoing {
    Outgoing { body: vec![7; BYTES].into(), republished: false, traceparent: None }
}

async fn port_rate(queue: &RabbitQueue, pool: &Pool, batch: usize) -> Outcome<f64> {
    let mut stream = queue.steps(pool, 1_024).await?;
    let begin = Instant::now();
    let publish = async {
        for _ in 0..STEPS / batch {
            queue.publish_steps(vec![(pool.clone(), step()); batch]).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let take = async {
        let mut taken = 0;
        while taken < STEPS / batch * batch {
            let deliveries = stream.recv(BATCH).await?;
            taken += deliveries.len();
            stream.ack(&deliveries.iter().map(|d| d.tag).collect::<Vec<_>>()).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let (published, taken) = tokio::join!(publish, take);
    published.and(taken)?;
    Ok((STEPS / batch * batch) as f64 / begin.elapsed().as_secs_f64())
}

async fn port_alone(queue: &RabbitQueue, pool: &Pool) -> Outcome<Vec<Duration>> {
    let mut stream = queue.steps(pool, 16).await?;
    let mut times = Vec::new();
    for _ in 0..ALONE {
        let begin = Instant::now();
        queue.publish_steps(vec![(pool.clone(), step())]).await?;
        let taken = stream.recv(1).await?;
        times.push(begin.elapsed());
        stream.ack(&[taken[0].tag]).await?;
    }
    Ok(times)
}

/// Plain lapin: a quorum queue, confirms joined over a batch, acks joined over what is there.
struct Raw {
    publish: Channel,
    consume: Channel,
    queue: String,
    _connections: [Connection; 2],
}

impl Raw {
    async fn open(url: &str, queue: &str) -> Outcome<Self> {
        let connections = [
            Connection::connect(url, ConnectionProperties::default()).await?,
            Connection::connect(url, ConnectionProperties::default()).await?,
        ];
        let (publish, consume) = (connections[0].create_channel().await?, connections[1].create_channel().await?);
        publish.confirm_select(ConfirmSelectOptions::default()).await?;
        consume.basic_qos(1_024, BasicQosOptions::default()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        publish.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await?;
        Ok(Self { publish, consume, queue: queue.to_owned(), _connections: connections })
    }

    async fn send(&self, count: usize) -> Outcome<()> {
        let body = [7; BYTES];
        let sends = (0..count).map(|_| async {
            let (options, properties) =
                (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
            self.publish.basic_publish("".into(), self.queue.as_str().into(), options, &body, properties).await?.await
        });
        for confirm in join_all(sends).await {
            assert!(confirm?.is_ack());
        }
        Ok(())
    }

    async fn rate(&self) -> Outcome<f64> {
        let mut consumer = self.consumer().await?;
        let begin = Instant::now();
        let publish = async {
            for _ in 0..STEPS / BATCH {
                self.send(BATCH).await?;
            }
            Ok::<_, Box<dyn Error>>(())
        };
        let take = async {
            for n in 1..=STEPS / BATCH * BATCH {
                let delivery = consumer.next().await.ok_or("the consumer ended")??;
                if n % 64 == 0 {
                    self.consume.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await?;
                }
            }
            Ok::<_, Box<dyn Error>>(())
        };
        let (published, taken) = tokio::join!(publish, take);
        published.and(taken)?;
        Ok((STEPS / BATCH * BATCH) as f64 / begin.elapsed().as_secs_f64())
    }

    async fn alone(&self) -> Outcome<Vec<Duration>> {
        let mut consumer = self.consumer().await?;
        let mut times = Vec::new();
        for _ in 0..ALONE {
            let begin = Instant::now();
            self.send(1).await?;
            let delivery = consumer.next().await.ok_or("the consumer ended")??;
            times.push(begin.elapsed());
            self.consume.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await?;
        }
        Ok(times)
    }

    async fn consumer(&self) -> Outcome<lapin::Consumer> {
        let options = BasicConsumeOptions::default();
        Ok(self.consume.basic_consume(self.queue.as_str().into(), "".into(), options, FieldTable::default()).await?)
    }
}
