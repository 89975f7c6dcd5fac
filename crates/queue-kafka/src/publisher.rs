//! Publishing, confirmed.
//!
//! One producer for everything. A batch is handed to the client library message by message, which packs what
//! goes to the same partition, and is awaited once: the last confirmation wakes whoever waits.

use crate::error::Error;
use crate::options::Options;
use crate::pump::{NUDGE, REPUBLISHED, TRACEPARENT};
use crate::report;
use aidt_queue::{Kind, Outgoing, QueueError};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

/// How long to wait for room in the client's queue, and before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(2);
/// The client tells the fate of each message in time; this much later it is not waited for any more.
const GRACE: Duration = Duration::from_secs(2);

/// A message and where it goes.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) out: Outgoing,
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    Confirmed,
    /// These, by their place, have no topic or partition to go to; nothing happened to them.
    Homeless(Vec<usize>),
    Failed(QueueError),
}

type Producer = ThreadedProducer<Receiving>;

/// Publishes to any topic.
pub(crate) struct Publisher {
    options: Options,
    current: Mutex<Arc<Producer>>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

impl Publisher {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self { options: options.clone(), current: Mutex::new(Arc::new(producer(options)?)) })
    }

    /// Publishes and awaits all confirmations. Dropping the future leaves open what was published.
    pub(crate) async fn publish(&self, operation: &'static str, records: &[Record], deadline: Instant) -> Outcome {
        let producer = self.current();
        let batch = Arc::new(Batch::default());
        let mut refused = None;
        for (place, record) in records.iter().enumerate() {
            if let Err(error) = enqueue(&producer, &batch, place, record, deadline).await {
                refused = Some((place, error));
                break;
            }
        }
        batch.finish(deadline + GRACE).await;
        let failures = batch.failures();
        let Some(first) = failures.first().map(|(_, e)| e.clone()).or(refused.as_ref().map(|(_, e)| e.clone())) else {
            return if batch.is_open() { late(operation, &self.options) } else { Outcome::Confirmed };
        };
        tracing::debug!(?failures, ?refused, "messages failed");
        if producer.client().fatal_error().is_some() {
            self.replace(&producer);
        }
        if batch.is_open() {
            return late(operation, &self.options);
        }
        if refused.as_ref().is_none_or(|(_, e)| is_homeless(e)) && failures.iter().all(|(_, e)| is_homeless(e)) {
            let rest = refused.map_or(records.len(), |(place, _)| place)..records.len();
            return Outcome::Homeless(failures.into_iter().map(|(place, _)| place).chain(rest).collect());
        }
        let nothing_happened = matches!(refused, Some((0, _)));
        let kind = if is_invalid(&first) {
            Kind::Invalid
        } else if nothing_happened {
            Kind::Unavailable
        } else {
            Kind::Unknown
        };
        Outcome::Failed(Error::Kafka { operation: "take messages", source: first }.with(operation, kind))
    }

    /// Best effort; never waits.
    pub(crate) fn nudge(&self, topic: &str, partition: i32) {
        let headers = OwnedHeaders::new_with_capacity(1).insert(Header { key: NUDGE, value: None::<&[u8]> });
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(topic, Box::new(Receipt { batch: None, place: 0 }))
            .partition(partition)
            .headers(headers);
        if let Err((error, _)) = self.current().send(record) {
            tracing::debug!(%error, partition, "a nudge was not sent");
        }
    }

    fn current(&self) -> Arc<Producer> {
        Arc::clone(&locked(&self.current))
    }

    /// A producer whose order of messages is beyond repair is of no more use.
    fn replace(&self, broken: &Arc<Producer>) {
        let mut current = locked(&self.current);
        if !Arc::ptr_eq(&current, broken) {
            return;
        }
        match producer(&self.options) {
            Ok(new) => {
                tracing::warn!("the producer failed for good; another one takes its place");
                discard(std::mem::replace(&mut *current, Arc::new(new)));
            }
            Err(error) => tracing::warn!(%error, "no other producer to be had yet"),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        discard(self.current());
    }
}

/// Dropping a producer waits for its threads.
fn discard(producer: Arc<Producer>) {
    let thread = std::thread::Builder::new().name("aidt-kafka-end".to_owned());
    // The drop of the last one is what takes long, whoever has it; without a thread it is ours.
    if let Err(error) = thread.spawn(move || {
        while Arc::strong_count(&producer) > 1 {
            std::thread::park_timeout(PAUSE);
        }
        drop(producer);
    }) {
        tracing::debug!(%error, "no thread to end a producer on");
    }
}

fn producer(options: &Options) -> Result<Producer, Error> {
    options.producer().create_with_context(Receiving).map_err(Error::kafka("make a producer"))
}

async fn enqueue(
    producer: &Producer,
    batch: &Arc<Batch>,
    place: usize,
    record: &Record,
    deadline: Instant,
) -> Result<(), KafkaError> {
    batch.expect_one();
    let receipt = Box::new(Receipt { batch: Some(Arc::clone(batch)), place });
    let mut next = BaseRecord::<(), [u8], _>::with_opaque_to(&record.topic, receipt)
        .partition(record.partition)
        .payload(&record.out.body[..]);
    if let Some(headers) = headers(&record.out) {
        next = next.headers(headers);
    }
    loop {
        match producer.send(next) {
            Ok(()) => return Ok(()),
            Err((error, back)) => {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || Instant::now() >= deadline {
                    batch.expect_one_less();
                    return Err(error);
                }
                next = back;
                sleep(PAUSE).await;
            }
        }
    }
}

fn headers(out: &Outgoing) -> Option<OwnedHeaders> {
    if !out.republished && out.traceparent.is_none() {
        return None;
    }
    let mut headers = OwnedHeaders::new_with_capacity(2);
    if out.republished {
        headers = headers.insert(Header { key: REPUBLISHED, value: None::<&[u8]> });
    }
    if let Some(traceparent) = &out.traceparent {
        headers = headers.insert(Header { key: TRACEPARENT, value: Some(traceparent) });
    }
    Some(headers)
}

fn is_homeless(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId)
    )
}

fn is_invalid(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error.rdkafka_error_code(), Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize))
}

fn late(operation: &'static str, options: &Options) -> Outcome {
    let late = Error::Late {
        brokers: options.brokers.clone(),
        operation: "confirm messages",
        seconds: options.publish_timeout.as_secs(),
    };
    Outcome::Failed(late.with(operation, Kind::Unknown))
}

/// Messages that are awaited together.
#[derive(Debug, Default)]
struct Batch {
    open: AtomicUsize,
    failures: Mutex<Vec<(usize, KafkaError)>>,
    done: Notify,
}

impl Batch {
    fn expect_one(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    fn expect_one_less(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    /// All were handed over: waits for the last.
    async fn finish(&self, deadline: Instant) {
        while self.is_open() && timeout_at(deadline, self.done.notified()).await.is_ok() {}
    }

    fn failures(&self) -> Vec<(usize, KafkaError)> {
        std::mem::take(&mut *locked(&self.failures))
    }
}

/// Comes back with the fate of a message.
#[derive(Debug)]
struct Receipt {
    batch: Option<Arc<Batch>>,
    place: usize,
}

struct Receiving;

impl ClientContext for Receiving {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        report::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        report::failed(&error, reason);
    }
}

impl ProducerContext for Receiving {
    type DeliveryOpaque = Box<Receipt>;

    fn delivery(&self, result: &DeliveryResult<'_>, receipt: Box<Receipt>) {
        let Some(batch) = &receipt.batch else { return };
        if let Err((error, _)) = result {
            locked(&batch.failures).push((receipt.place, error.clone()));
        }
        batch.expect_one_less();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
