//! How fast steps go through the port, beside the client library alone, on the broker at `AIDT_TEST_KAFKA`.
//!
//! `cargo run --release -p aidt-queue-kafka --example rates [seconds]`

use aidt_domain::{PartitionId, Pool};
use aidt_queue::{Outgoing, Queue};
use aidt_queue_kafka::{KafkaQueue, Options};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const WINDOW: usize = 256;
const SIZE: usize = 1_024;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    #[expect(clippy::disallowed_methods, reason = "a program of its own")]
    let brokers = std::env::var("AIDT_TEST_KAFKA")?;
    let seconds = std::env::args().nth(1).map_or(Ok(5), |s| s.parse())?;
    let long = Duration::from_secs(seconds);
    for flush in [false, true] {
        println!("{}", if flush { "flush.messages=1" } else { "page cache" });
        let (rate, cpu) = raw_window(&brokers, flush, 16, long).await?;
        println!("  raw, window of {WINDOW}, 16 partitions:   {rate:>8.0} messages/s, {cpu:.1} us CPU each");
        let (rate, cpu) = raw_window(&brokers, flush, 1, long).await?;
        println!("  raw, window of {WINDOW}, 1 partition:     {rate:>8.0} messages/s, {cpu:.1} us CPU each");
        println!("  raw, one at a time:                {}", raw_single(&brokers, flush, long).await?);
        let queue = port(&brokers, flush).await?;
        let (rate, cpu) = port_window(&queue, long).await?;
        println!("  port, window of {WINDOW}, 16 partitions:  {rate:>8.0} steps/s, {cpu:.1} us CPU each");
        println!("  port, steps one at a time:         {}", port_single(&queue, long).await?);
        println!("  port, commands one at a time:      {}", port_commands(&queue, long).await?);
        let (rate, cpu) = loops(&*port(&brokers, flush).await?, long).await?;
        println!("  port, step and its result, {WINDOW} open: {rate:>8.0} steps/s, {cpu:.1} us CPU each");
    }
    Ok(())
}

/// User and system time of this process, in µs.
fn cpu() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = rest.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
    Ok(ticks * 10_000.0)
}

fn name() -> String {
    #[expect(clippy::disallowed_methods, reason = "no two runs may meet")]
    let random = Uuid::new_v4().simple().to_string();
    format!("r{}", &random[..10])
}

async fn make(brokers: &str, topic: &str, partitions: i32, flush: bool) -> Outcome<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    if flush {
        new = new.set("flush.messages", "1");
    }
    admin.create_topics(&[new], &AdminOptions::new().operation_timeout(Some(Duration::from_secs(2)))).await?;
    Ok(())
}

async fn raw(brokers: &str, flush: bool, partitions: i32) -> Outcome<(FutureProducer, StreamConsumer, String)> {
    let topic = name();
    make(brokers, &topic, partitions, flush).await?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .create()?;
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", &topic)
        .set("fetch.wait.max.ms", "100")
        .set("auto.offset.reset", "earliest")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(&topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    // Once through, so that everything is connected.
    producer
        .send(FutureRecord::<(), [u8]>::to(&topic).partition(0).payload(&[0; SIZE]), Duration::from_secs(5))
        .await
        .map_err(|(e, _)| e)?;
    consumer.recv().await?;
    Ok((producer, consumer, topic))
}

async fn raw_window(brokers: &str, flush: bool, partitions: i32, long: Duration) -> Outcome<(f64, f64)> {
    let (producer, consumer, topic) = raw(brokers, flush, partitions).await?;
    let body = [7_u8; SIZE];
    let (start, used) = (Instant::now(), cpu()?);
    let (mut sent, mut got, mut confirms) = (0_usize, 0_usize, FuturesUnordered::new());
    while start.elapsed() < long {
        while sent - got < WINDOW {
            let to = i32::try_from(sent / 16)? % partitions;
            let record = FutureRecord::<(), [u8]>::to(&topic).partition(to).payload(&body);
            confirms.push(producer.send_result(record).map_err(|(e, _)| e)?);
            sent += 1;
        }
        tokio::select! {
            biased;
            Some(confirmed) = confirms.next() => { confirmed?.map_err(|(e, _)| e)?; }
            message = consumer.recv() => { message?; got += 1; }
        }
    }
    Ok((got as f64 / start.elapsed().as_secs_f64(), (cpu()? - used) / got as f64))
}

async fn raw_single(brokers: &str, flush: bool, long: Duration) -> Outcome<String> {
    let (producer, consumer, topic) = raw(brokers, flush, 1).await?;
    let body = [7_u8; SIZE];
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < long {
        let one = Instant::now();
        let record = FutureRecord::<(), [u8]>::to(&topic).partition(0).payload(&body);
        let confirm = producer.send_result(record).map_err(|(e, _)| e)?;
        consumer.recv().await?;
        times.push(one.elapsed());
        confirm.await?.map_err(|(e, _)| e)?;
    }
    Ok(percentiles(times))
}

async fn port(brokers: &str, flush: bool) -> Outcome<Arc<KafkaQueue>> {
    let options = Options { replication: Some(1), ..Options::new(brokers, name(), 8) };
    if flush {
        // Made before the queue does: it takes them over with what is set for them.
        make(brokers, &format!("{}.commands", options.prefix), 8, true).await?;
        make(brokers, &format!("{}.steps.p", options.prefix), 16, true).await?;
    }
    Ok(KafkaQueue::connect(options).await?)
}

fn message(body: Bytes) -> Outgoing {
    Outgoing { body, republished: false, traceparent: None }
}

async fn port_window(queue: &KafkaQueue, long: Duration) -> Outcome<(f64, f64)> {
    let pool = Pool::new("p")?;
    let mut stream = queue.steps(&pool, 1_000).await?;
    let body = Bytes::from(vec![7; SIZE]);
    warm(queue, &pool, &mut *stream).await?;
    let (start, used) = (Instant::now(), cpu()?);
    let (mut sent, mut got) = (0, 0);
    let mut publishing = None;
    while start.elapsed() < long {
        if publishing.is_none() && sent - got < WINDOW {
            let batch = (0..WINDOW - (sent - got)).map(|_| (pool.clone(), message(body.clone()))).collect::<Vec<_>>();
            sent += batch.len();
            publishing = Some(queue.publish_steps(batch));
        }
        tokio::select! {
            biased;
            confirmed = async { publishing.as_mut().expect("guarded").await }, if publishing.is_some() => {
                confirmed?;
                publishing = None;
            }
            taken = stream.recv(WINDOW) => {
                let taken = taken?;
                got += taken.len();
                stream.ack(&taken.iter().map(|d| d.tag).collect::<Vec<_>>()).await?;
            }
        }
    }
    Ok((got as f64 / start.elapsed().as_secs_f64(), (cpu()? - used) / got as f64))
}

async fn warm(queue: &KafkaQueue, pool: &Pool, stream: &mut dyn aidt_queue::Steps) -> Outcome<()> {
    let mut fresh = 0;
    while fresh < 64 {
        queue.publish_steps(vec![(pool.clone(), message(Bytes::from_static(b"warm")))]).await?;
        let taken = stream.recv(WINDOW).await?;
        fresh += taken.iter().filter(|d| !d.doubtful).count();
        stream.ack(&taken.iter().map(|d| d.tag).collect::<Vec<_>>()).await?;
    }
    Ok(())
}

async fn port_single(queue: &KafkaQueue, long: Duration) -> Outcome<String> {
    let pool = Pool::new("p")?;
    let mut stream = queue.steps(&pool, 10).await?;
    warm(queue, &pool, &mut *stream).await?;
    let body = Bytes::from(vec![7; SIZE]);
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < long {
        let one = Instant::now();
        let publishing = queue.publish_steps(vec![(pool.clone(), message(body.clone()))]);
        let (confirmed, taken) = tokio::join!(publishing, async {
            let taken = stream.recv(1).await;
            times.push(one.elapsed());
            taken
        });
        confirmed?;
        stream.ack(&taken?.iter().map(|d| d.tag).collect::<Vec<_>>()).await?;
    }
    Ok(percentiles(times))
}

async fn port_commands(queue: &KafkaQueue, long: Duration) -> Outcome<String> {
    let partitions: Vec<_> = (0..8).map(|p| (PartitionId(p), 0)).collect();
    let mut stream = queue.commands(&partitions).await?;
    let body = Bytes::from(vec![7; SIZE]);
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < long {
        let one = Instant::now();
        let to = PartitionId(u16::try_from(times.len() % 8)?);
        let publishing = queue.publish_commands(vec![(to, message(body.clone()))]);
        let (confirmed, taken) = tokio::join!(publishing, async {
            let taken = stream.recv(9).await;
            times.push(one.elapsed());
            taken
        });
        confirmed?;
        stream.ack(&taken?.0.iter().map(|(p, d)| (*p, d.tag)).collect::<Vec<_>>()).await?;
    }
    Ok(percentiles(times))
}

/// Both ways, as the loop of the product goes: what arrives as a step goes back as a command, and each command
/// makes a step.
async fn loops(queue: &KafkaQueue, long: Duration) -> Outcome<(f64, f64)> {
    let pool = Pool::new("p")?;
    let partitions: Vec<_> = (0..8).map(|p| (PartitionId(p), 0)).collect();
    let mut results = queue.commands(&partitions).await?;
    let mut stream = queue.steps(&pool, 1_000).await?;
    warm(queue, &pool, &mut *stream).await?;
    let body = Bytes::from(vec![7; SIZE]);
    let consume = async {
        let mut turn = 0_u16;
        loop {
            let taken = stream.recv(WINDOW).await?;
            let back = taken.iter().map(|d| {
                turn = turn.wrapping_add(1);
                (PartitionId(turn % 8), message(d.body.clone()))
            });
            queue.publish_commands(back.collect()).await?;
            stream.ack(&taken.iter().map(|d| d.tag).collect::<Vec<_>>()).await?;
        }
    };
    let (start, used) = (Instant::now(), cpu()?);
    let (mut done, mut turns) = (0, 0);
    let own = async {
        let mut next = WINDOW;
        while start.elapsed() < long {
            queue.publish_steps((0..next).map(|_| (pool.clone(), message(body.clone()))).collect()).await?;
            let (taken, _) = results.recv(WINDOW).await?;
            next = taken.len();
            done += next;
            turns += 1;
            results.ack(&taken.iter().map(|(p, d)| (*p, d.tag)).collect::<Vec<_>>()).await?;
        }
        Ok(())
    };
    tokio::select! {
        biased;
        ended = own => { let ended: Outcome<()> = ended; ended? }
        ended = consume => { let ended: Outcome<()> = ended; ended? }
    }
    println!("  port, results of a turn:           {:>8.0}", done as f64 / f64::from(turns));
    Ok((done as f64 / start.elapsed().as_secs_f64(), (cpu()? - used) / done as f64))
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("{:?} p50, {:?} p99", at(0.5), at(0.99))
}
