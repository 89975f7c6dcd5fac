//! The thread that fetches for a stream.
//!
//! It alone talks to its consumer, and what blocks blocks only it: joining and leaving the group, asking where
//! partitions end, committing. It is always ready to take part in a rebalance, also while the stream takes
//! nothing. The client library wakes it when something came.

mod calm;
mod offsets;

use crate::desk::{Desk, Message};
use crate::error::Error;
use crate::report;
use aidt_domain::Timestamp;
use bytes::Bytes;
use calm::Calm;
use offsets::{offsets, places};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Header of a message that was published before.
pub(crate) const REPUBLISHED: &str = "aidt-republished";
/// Header of a message that only says: look into the inbox.
pub(crate) const NUDGE: &str = "aidt-nudge";
/// Header of the W3C trace context.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Messages put on the desk at a time.
const BATCH: usize = 256;
/// Looks after itself this often, even if nothing comes.
const IDLE: Duration = Duration::from_millis(250);
/// How often it is asked again where a partition ended.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// What to read.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// What the group has for this member.
    Group,
    /// These partitions, each from its cursor.
    From(Vec<(i32, i64)>),
}

struct Context {
    desk: Arc<Desk>,
    timeout: Duration,
    /// Events that were served: after one, an empty poll does not mean an empty queue.
    served: AtomicU64,
    /// Rebalances that this member took part in.
    rebalanced: AtomicU64,
    /// Taken from the client and not on the desk yet.
    batch: Mutex<Vec<Message>>,
}

impl Context {
    fn batch(&self) -> MutexGuard<'_, Vec<Message>> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what was taken on the desk.
    fn hand_over(&self) {
        let mut batch = self.batch();
        if !batch.is_empty() {
            self.desk.arrive(&mut batch);
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.served.fetch_add(1, Ordering::Relaxed);
        report::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.served.fetch_add(1, Ordering::Relaxed);
        report::failed(&error, reason);
    }
}

impl ConsumerContext for Context {
    // Called from within poll, on the thread of the pump, before librdkafka does what it says. So what was
    // acked is stored before a partition goes, and where a partition ends is known before it is fetched.
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.served.fetch_add(1, Ordering::Relaxed);
        self.rebalanced.fetch_add(1, Ordering::Relaxed);
        // It is of the partitions as they were.
        self.hand_over();
        match rebalance {
            Rebalance::Assign(list) => {
                let partitions = numbers(list);
                let topic = &self.desk.origin().topic;
                let ends = offsets(consumer, topic, &partitions, Offset::End, self.timeout).unwrap_or_default();
                tracing::debug!(topic, ?partitions, "assigned");
                self.desk.assign(partitions.iter().map(|p| (*p, None, ends.get(p).copied())));
            }
            Rebalance::Revoke(list) => {
                let partitions = numbers(list);
                tracing::debug!(topic = self.desk.origin().topic, ?partitions, "revoked");
                store(consumer, &self.desk);
                self.desk.revoke(&partitions);
            }
            Rebalance::Error(error) => tracing::debug!(%error, "a rebalance failed; the client joins again"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        self.served.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = result {
            tracing::debug!(%error, "offsets were not committed; what they cover may come again");
        }
    }
}

/// Starts the thread. Returns once it reads, or has joined its group. It ends when the desk is closed.
pub(crate) async fn start(
    config: ClientConfig,
    desk: Arc<Desk>,
    reading: Reading,
    timeout: Duration,
) -> Result<(), Error> {
    let (opened, answer) = oneshot::channel();
    let pump = move || {
        desk.pumped_by(std::thread::current());
        match open(&config, &desk, &reading, timeout) {
            Ok(consumer) => {
                // Where nobody waits for the answer any more, the desk is closed.
                let _ = opened.send(Ok(()));
                run(consumer, &desk, matches!(reading, Reading::Group));
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        }
    };
    std::thread::Builder::new().name("aidt-kafka-in".to_owned()).spawn(pump).map_err(Error::Thread)?;
    answer.await.unwrap_or(Err(Error::Closed))
}

fn open(
    config: &ClientConfig,
    desk: &Arc<Desk>,
    reading: &Reading,
    timeout: Duration,
) -> Result<BaseConsumer<Context>, Error> {
    let topic = desk.origin().topic.clone();
    let context = Context {
        desk: Arc::clone(desk),
        timeout,
        served: AtomicU64::new(0),
        rebalanced: AtomicU64::new(0),
        batch: Mutex::default(),
    };
    let mut consumer: BaseConsumer<Context> =
        config.create_with_context(context).map_err(Error::kafka("make a consumer"))?;
    let thread = std::thread::current();
    consumer.set_nonempty_callback(move || thread.unpark());
    match reading {
        Reading::Group => consumer.subscribe(&[&topic]).map_err(Error::kafka("subscribe to a topic"))?,
        Reading::From(cursors) => {
            let places = places(&consumer, &topic, cursors, timeout)?;
            let mut list = TopicPartitionList::with_capacity(places.len());
            for (partition, start, _) in &places {
                list.add_partition_offset(&topic, *partition, Offset::Offset(*start))
                    .map_err(Error::kafka("name an offset"))?;
            }
            desk.assign(places.iter().map(|(p, start, end)| (*p, Some(*start), Some(*end))));
            consumer.assign(&list).map_err(Error::kafka("assign partitions"))?;
        }
    }
    Ok(consumer)
}

fn run(consumer: BaseConsumer<Context>, desk: &Desk, in_group: bool) {
    let (mut asked, mut calm) = (Instant::now(), Calm::default());
    while !desk.is_closing() {
        calm.look(&consumer);
        if let Err(why) = fetch(&consumer, desk) {
            desk.gone(why);
        }
        store(&consumer, desk);
        set_pace(&consumer, desk);
        let endless = desk.endless();
        if !endless.is_empty() && asked.elapsed() > ASK_AGAIN {
            asked = Instant::now();
            let endless = endless.into_iter().collect();
            let topic = &desk.origin().topic;
            if let Ok(ends) = offsets(&consumer, topic, &endless, Offset::End, consumer.context().timeout) {
                desk.set_ends(&ends);
            }
        }
        std::thread::park_timeout(IDLE);
    }
    if in_group {
        calm.wait(&consumer, desk);
    }
    store(&consumer, desk);
    // Leaves the group, with what is stored committed.
    drop(consumer);
}

/// Pauses when much lies on the desk, and goes on when little does.
fn set_pace(consumer: &BaseConsumer<Context>, desk: &Desk) {
    let Some((pause, partitions)) = desk.change_pace() else { return };
    let topic = &desk.origin().topic;
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, partition);
    }
    let changed = if pause { consumer.pause(&list) } else { consumer.resume(&list) };
    if let Err(error) = changed {
        tracing::debug!(%error, pause, "partitions were not paused, or not resumed");
    }
}

/// Takes all that the client has, for as long as there is something.
fn fetch(consumer: &BaseConsumer<Context>, desk: &Desk) -> Result<(), String> {
    let context = consumer.context();
    loop {
        let served = context.served.load(Ordering::Relaxed);
        match consumer.poll(Duration::ZERO) {
            Some(Ok(message)) => context.batch().push(read(&message)),
            Some(Err(error)) => judge(&error)?,
            None if context.served.load(Ordering::Relaxed) != served => {}
            None => break,
        }
        if context.batch().len() >= BATCH {
            context.hand_over();
            set_pace(consumer, desk);
        }
    }
    context.hand_over();
    Ok(())
}

/// Most errors pass by themselves: a broker that is away, a topic that is not known everywhere yet.
fn judge(error: &KafkaError) -> Result<(), String> {
    use RDKafkaErrorCode as Code;
    let ends = matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                Code::AutoOffsetReset
                    | Code::OffsetOutOfRange
                    | Code::TopicAuthorizationFailed
                    | Code::GroupAuthorizationFailed
            )
        );
    tracing::debug!(%error, ends, "a consumer's error");
    if ends { Err(format!("the consumer failed: {error}")) } else { Ok(()) }
}

fn read(message: &BorrowedMessage<'_>) -> Message {
    let (mut doubtful, mut nudge) = (false, false);
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        doubtful |= header.key == REPUBLISHED;
        nudge |= header.key == NUDGE;
    }
    Message {
        partition: message.partition(),
        offset: message.offset(),
        body: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        published_at: message.timestamp().to_millis().map(Timestamp),
        doubtful,
        nudge,
    }
}

/// Tells the client what is acked; it commits that soon, and when a partition goes.
fn store(consumer: &BaseConsumer<Context>, desk: &Desk) {
    let moved = desk.take_moved();
    if moved.is_empty() {
        return;
    }
    let topic = &desk.origin().topic;
    let mut list = TopicPartitionList::with_capacity(moved.len());
    for (partition, mark) in moved {
        if let Err(error) = list.add_partition_offset(topic, partition, Offset::Offset(mark)) {
            tracing::debug!(%error, partition, mark, "no offset");
        }
    }
    if let Err(error) = consumer.store_offsets(&list) {
        tracing::debug!(%error, "offsets were not stored; what they cover may come again");
    }
}

fn numbers(list: &TopicPartitionList) -> BTreeSet<i32> {
    list.elements().iter().map(|e| e.partition()).collect()
}
