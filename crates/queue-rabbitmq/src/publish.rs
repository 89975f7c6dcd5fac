//! Publishing: what gathers while messages are under way shares the next ones.
//!
//! A few lanes take orders from one queue, each with a channel of its own and one batch under way. So an
//! idle queue sends a single envelope at once, and under load many callers' envelopes go together; and
//! what the broker returns belongs to the batch, though lapin hands it out with any of its confirms:
//! with all confirms in, all returns are.

use crate::error::{Error, bounded, within};
use crate::frame::CONTENT_TYPE;
use crate::link::Link;
use crate::names::{Names, Target};
use crate::parcel::{Parcel, pack};
use crate::topology::Topology;
use crate::watch::Audience;
use aidt_domain::Clock;
use aidt_queue::Outgoing;
use futures::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

/// Batches under way at once. More would leave less to share.
pub(crate) const LANES: usize = 4;

/// A batch takes no more orders once it has this many envelopes.
const ENOUGH: usize = 2_048;

/// Orders that may wait: what callers owe is bounded by windows and slots.
const WAITING: usize = 1_024;

/// Rounds of declaring what messages came back from.
const ROUNDS: usize = 3;

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// When a message was published, in ms since the epoch: the property for it knows seconds only.
pub(crate) const PUBLISHED_AT: &str = "aidt-published-at";

type Answer = Result<(), Arc<Error>>;

/// What one caller wants published.
struct Order {
    envelopes: Vec<(Target, Outgoing)>,
    done: oneshot::Sender<Answer>,
}

/// Where callers leave their orders.
pub(crate) struct Publisher {
    orders: mpsc::Sender<Order>,
    patience: Duration,
}

impl Publisher {
    /// Returns when all is confirmed. Not cancel safe: what was ordered goes, or not.
    pub(crate) async fn publish(&self, envelopes: Vec<(Target, Outgoing)>) -> Result<(), Error> {
        if envelopes.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        match tokio::time::timeout(self.patience, self.orders.send(Order { envelopes, done })).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Error::Closed),
            // It was not taken, so nothing was sent.
            Err(_) => return Err(Error::Blocked(self.patience)),
        }
        match answer.await {
            Ok(answer) => answer.map_err(Error::Publish),
            Err(_) => Err(Error::Closed),
        }
    }
}

/// What the lanes share.
pub(crate) struct Press {
    pub(crate) names: Names,
    pub(crate) link: Link,
    pub(crate) topology: Arc<Topology>,
    pub(crate) audience: Arc<Audience>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) operation_timeout: Duration,
    pub(crate) publish_timeout: Duration,
    pub(crate) blocked_timeout: Duration,
}

/// The publisher, and the futures of its lanes.
pub(crate) fn start(press: Press) -> (Publisher, Vec<impl Future<Output = ()> + Send + 'static>) {
    let (orders, waiting) = mpsc::channel(WAITING);
    let (press, waiting) = (Arc::new(press), Arc::new(Mutex::new(waiting)));
    let patience = press.publish_timeout;
    let lanes = (0..LANES).map(|_| Lane { press: Arc::clone(&press), channel: None }.run(Arc::clone(&waiting)));
    (Publisher { orders, patience }, lanes.collect())
}

struct Lane {
    press: Arc<Press>,
    channel: Option<Channel>,
}

impl Lane {
    async fn run(mut self, orders: Arc<Mutex<mpsc::Receiver<Order>>>) {
        // So that the first order need not wait for it; whoever comes when it failed tries again.
        self.channel = self.press.open().await.ok();
        loop {
            let batch = take(&mut *orders.lock().await).await;
            if batch.is_empty() {
                return;
            }
            let mut by_target: BTreeMap<Target, Vec<Outgoing>> = BTreeMap::new();
            let mut callers = Vec::with_capacity(batch.len());
            for order in batch {
                for (target, envelope) in order.envelopes {
                    by_target.entry(target).or_default().push(envelope);
                }
                callers.push(order.done);
            }
            let answer = self.publish(by_target).await.map_err(Arc::new);
            for caller in callers {
                // Who does not wait any more publishes again.
                let _ = caller.send(answer.clone());
            }
        }
    }

    async fn publish(&mut self, by_target: BTreeMap<Target, Vec<Outgoing>>) -> Result<(), Error> {
        self.press.wait_while_blocked().await?;
        let mut parcels = Vec::new();
        for (target, envelopes) in by_target {
            let spread = self.press.audience.spread(&target);
            parcels.extend(pack(&target, envelopes, spread));
        }
        for _ in 0..ROUNDS {
            let returned = self.send(&parcels).await?;
            if returned.is_empty() {
                return Ok(());
            }
            parcels = parcels.into_iter().enumerate().filter(|(n, _)| returned.contains(n)).map(|(_, p)| p).collect();
            let mut gone: Vec<Target> = parcels.iter().map(|parcel| parcel.target.clone()).collect();
            gone.dedup();
            self.press.restore(&gone).await?;
        }
        Err(Error::Unroutable { queue: self.press.names.queue(&parcels[0].target) })
    }

    /// Sends them and awaits their confirms; gives the places of those that found no queue.
    async fn send(&mut self, parcels: &[Parcel]) -> Result<Vec<usize>, Error> {
        // Taken: whatever is not confirmed in the end would come up among the confirms of the next batch.
        let channel = match self.channel.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => self.press.open().await?,
        };
        let now = self.press.clock.now();
        let sends = parcels.iter().enumerate().map(|(n, parcel)| {
            let queue = self.press.names.queue(&parcel.target);
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let properties = properties(n, parcel, now.0);
            let channel = &channel;
            async move {
                channel.basic_publish("".into(), queue.into(), options, &parcel.body, properties).await?.await
            }
        });
        let all = async { join_all(sends).await.into_iter().collect::<Result<Vec<_>, _>>() };
        let confirms = within("publishing", self.press.publish_timeout, all).await?;
        let mut returned = Vec::new();
        for confirm in confirms {
            match confirm {
                Confirmation::Ack(None) => {}
                Confirmation::Ack(Some(message)) => {
                    let id = message.delivery.properties.message_id().as_ref();
                    let number = id.and_then(|id| id.as_str().parse::<usize>().ok());
                    returned.extend(number.filter(|n| *n < parcels.len()));
                }
                Confirmation::Nack(_) | Confirmation::NotRequested => {
                    let queue = parcels.first().map(|parcel| self.press.names.queue(&parcel.target));
                    return Err(Error::Refused { queue: queue.unwrap_or_default() });
                }
            }
        }
        self.channel = Some(channel);
        Ok(returned)
    }
}

impl Press {
    /// A blocked connection sends nothing, confirms nothing, and fails at nothing.
    async fn wait_while_blocked(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.blocked_timeout;
        while self.link.connection()?.status().blocked() {
            if timeout_at(deadline, sleep(LOOK_AGAIN)).await.is_err() {
                return Err(Error::Blocked(self.blocked_timeout));
            }
        }
        Ok(())
    }

    /// Nothing is sent yet when this fails.
    async fn open(&self) -> Result<Channel, Error> {
        let open = async {
            let channel = self.link.channel().await?;
            let select = channel.confirm_select(ConfirmSelectOptions::default());
            within("asking for confirms", self.operation_timeout, select).await?;
            Ok(channel)
        };
        let opened = bounded("opening a channel", self.publish_timeout, open).await;
        opened.map_err(|error| Error::NoChannel(Box::new(error)))
    }

    /// Declares what messages came back from.
    async fn restore(&self, gone: &[Target]) -> Result<(), Error> {
        let restored = bounded("declaring queues", self.operation_timeout, self.topology.restore(gone)).await;
        restored.map_err(|error| Error::Restore(Box::new(error)))
    }
}

fn properties(number: usize, parcel: &Parcel, now: i64) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(PUBLISHED_AT.into(), AMQPValue::LongLongInt(now));
    if let Some(traceparent) = &parcel.traceparent {
        headers.insert("traceparent".into(), AMQPValue::LongString(traceparent.as_str().into()));
    }
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type(CONTENT_TYPE.into())
        .with_message_id(number.to_string().into())
        .with_headers(headers)
}

/// Waits for an order and takes what else is there. Nothing: nobody will order any more.
async fn take(orders: &mut mpsc::Receiver<Order>) -> Vec<Order> {
    let mut batch = Vec::new();
    let mut envelopes = 0;
    let mut next = orders.recv().await;
    while let Some(order) = next {
        envelopes += order.envelopes.len();
        batch.push(order);
        next = if envelopes < ENOUGH { orders.try_recv().ok() } else { None };
    }
    batch
}
