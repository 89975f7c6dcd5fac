//! The thread that fetches for a stream.
//!
//! It alone talks to its consumer, and what blocks blocks only it: changing what is read, asking where partitions
//! end, committing. It does so also while the stream takes nothing. The client library wakes it when something came.

mod offsets;
mod share;

use crate::desk::{Desk, Message};
use crate::error::Error;
use crate::report;
use aidt_domain::Timestamp;
use bytes::Bytes;
use offsets::{offsets, places};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use share::Share;
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
/// How often what is acked is committed.
const COMMIT: Duration = Duration::from_millis(500);
/// How often it is asked what was committed: a broker refuses commits while a process of a build that shared pools by
/// Kafka's own groups is there, and the client library does not tell.
const CONFIRM: Duration = Duration::from_secs(3);

/// What to read.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// What the desk is told to, of so many partitions, from where it was committed.
    Part(i32),
    /// These partitions, each from its cursor.
    From(Vec<(i32, i64)>),
}

struct Context {
    desk: Arc<Desk>,
    timeout: Duration,
    /// Events that were served: after one, an empty poll does not mean an empty queue.
    served: AtomicU64,
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

impl ConsumerContext for Context {}

/// Starts the thread. Returns once it reads, or is ready to. It ends when the desk is closed.
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
                let share = match reading {
                    Reading::Part(partitions) => Some(Share::new(partitions)),
                    Reading::From(_) => None,
                };
                run(consumer, &desk, share);
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        }
        desk.set_left();
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
    let context = Context { desk: Arc::clone(desk), timeout, served: AtomicU64::new(0), batch: Mutex::default() };
    let mut consumer: BaseConsumer<Context> =
        config.create_with_context(context).map_err(Error::kafka("make a consumer"))?;
    let thread = std::thread::current();
    consumer.set_nonempty_callback(move || thread.unpark());
    if let Reading::From(cursors) = reading {
        let places = places(&consumer, &topic, cursors, timeout)?;
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (partition, start, _) in &places {
            list.add_partition_offset(&topic, *partition, Offset::Offset(*start))
                .map_err(Error::kafka("name an offset"))?;
        }
        desk.assign(places.iter().map(|(p, start, end)| (*p, Some(*start), Some(*end))));
        consumer.assign(&list).map_err(Error::kafka("assign partitions"))?;
    }
    Ok(consumer)
}

fn run(consumer: BaseConsumer<Context>, desk: &Desk, mut share: Option<Share>) {
    let (mut asked, mut committed, mut confirmed) = (Instant::now(), Instant::now(), Instant::now());
    while !desk.is_closing() {
        if let Err(why) = fetch(&consumer, desk) {
            desk.gone(why);
        }
        if let Some(share) = &mut share {
            if confirmed.elapsed() >= CONFIRM {
                confirmed = Instant::now();
                confirm(&consumer, desk);
            }
            if committed.elapsed() >= COMMIT {
                committed = Instant::now();
                commit(&consumer, desk, desk.take_moved());
            }
            share.follow(&consumer, desk);
        }
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
    if share.is_some() {
        let all = desk.watermarks().into_iter().map(|(partition, _)| partition).collect();
        commit(&consumer, desk, desk.revoke(&all));
    }
    // Waits until that is answered.
    drop(consumer);
}

/// Pauses when much lies on the desk, and goes on when little does.
fn set_pace(consumer: &BaseConsumer<Context>, desk: &Desk) {
    let Some((pause, partitions)) = desk.change_pace() else { return };
    let list = topic_partitions(desk, &partitions);
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

/// Asks whether the broker knows what it was told; what it does not is told again.
fn confirm(consumer: &BaseConsumer<Context>, desk: &Desk) {
    let told = desk.told();
    if told.is_empty() {
        return;
    }
    let known = consumer.committed_offsets(topic_partitions(desk, &told), consumer.context().timeout);
    match known {
        Ok(known) => desk.confirm(known.elements().iter().map(|e| (e.partition(), e.offset().to_raw().unwrap_or(-1)))),
        Err(error) => tracing::debug!(%error, "it is not known what is committed; it is asked again"),
    }
}

/// Lets the broker know what is acked. Does not wait: whether it was taken [`confirm`] finds out.
fn commit(consumer: &BaseConsumer<Context>, desk: &Desk, marks: Vec<(i32, i64)>) {
    if marks.is_empty() {
        return;
    }
    let mut list = TopicPartitionList::with_capacity(marks.len());
    for (partition, mark) in &marks {
        if let Err(error) = list.add_partition_offset(&desk.origin().topic, *partition, Offset::Offset(*mark)) {
            tracing::debug!(%error, partition, mark, "no offset");
        }
    }
    if let Err(error) = consumer.commit(&list, CommitMode::Async) {
        tracing::debug!(%error, "offsets were not committed; it is found out and tried again");
    }
}

fn topic_partitions<'a>(desk: &Desk, partitions: impl IntoIterator<Item = &'a i32>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&desk.origin().topic, *partition);
    }
    list
}
