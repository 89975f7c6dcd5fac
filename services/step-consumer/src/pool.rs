//! The stream of one pool's steps: opened while the pool has workers, read only as far as there are free
//! slots, acked when told to, reopened when it breaks, or where it cannot be widened for more slots.

use crate::lane::pause;
use aidt_domain::Pool;
use aidt_queue::{Delivery, Queue, QueueError, Readers, Steps, Tag};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::sleep;

/// Names a delivery within its pool: a tag means nothing to another stream than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Which opening of the stream delivered it.
    pub(crate) opening: u64,
    /// The stream's tag.
    pub(crate) tag: Tag,
}

/// A message that arrived.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) taken: Taken,
    pub(crate) delivery: Delivery,
}

/// Where the loop and one pool's stream meet.
#[derive(Debug, Default)]
pub(crate) struct PoolDesk {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What the stream may hold unacked; 0: no stream is wanted.
    prefetch: u32,
    /// How many more messages may be taken.
    credit: usize,
    opening: u64,
    arrived: Vec<Arrival>,
    acks: Vec<Taken>,
    /// Acks that the stream is at.
    acking: bool,
    reopen: bool,
    /// Who reads the pool; no stream is opened before that is known.
    readers: Option<Readers>,
    /// The stream has not heard of it.
    untold: bool,
}

impl PoolDesk {
    /// How many messages may be taken in all, and at once from now on.
    pub(crate) fn allow(&self, prefetch: u32, credit: usize) {
        let mut state = self.state();
        // A stream that waits with less credit than it could have loses nothing; with more, it would
        // take what there is no slot for.
        let look_again = prefetch != state.prefetch || credit < state.credit || (state.credit == 0 && credit > 0);
        state.prefetch = prefetch;
        state.credit = credit;
        drop(state);
        if look_again {
            self.changed.notify_one();
        }
    }

    /// What arrived since the last call.
    pub(crate) fn take_arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.state().arrived)
    }

    /// Done with these, durably.
    pub(crate) fn ack(&self, taken: Taken) {
        let mut state = self.state();
        state.acks.push(taken);
        let first = state.acks.len() == 1;
        drop(state);
        if first {
            self.changed.notify_one();
        }
    }

    /// Gives all that was taken and not acked back to the broker, and goes on.
    pub(crate) fn reopen(&self) {
        self.state().reopen = true;
        self.changed.notify_one();
    }

    /// Who reads the pool.
    pub(crate) fn share(&self, readers: Readers) {
        let mut state = self.state();
        if state.readers.as_ref() == Some(&readers) {
            return;
        }
        (state.readers, state.untold) = (Some(readers), true);
        drop(state);
        self.changed.notify_one();
    }

    /// What a stream is to be opened for.
    fn wanted(&self) -> Option<u32> {
        let state = self.state();
        Some(state.prefetch).filter(|prefetch| *prefetch > 0 && state.readers.is_some())
    }

    /// Nothing waits to be acked.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.state();
        state.acks.is_empty() && !state.acking
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> u64 {
        let mut state = self.state();
        state.opening += 1;
        state.reopen = false;
        state.untold = true;
        // What an earlier stream delivered cannot be acked on this one: it will be delivered again.
        state.acks.clear();
        state.opening
    }

    fn arrived(&self, opening: u64, deliveries: Vec<Delivery>) {
        let mut state = self.state();
        state.credit = state.credit.saturating_sub(deliveries.len());
        let arrivals =
            deliveries.into_iter().map(|delivery| Arrival { taken: Taken { opening, tag: delivery.tag }, delivery });
        state.arrived.extend(arrivals);
    }

    fn todo(&self, opening: u64, bounded_by: u32) -> Todo {
        let mut state = self.state();
        let acks = std::mem::take(&mut state.acks);
        let tags: Vec<Tag> = acks.into_iter().filter(|t| t.opening == opening).map(|t| t.tag).collect();
        if !tags.is_empty() {
            state.acking = true;
            return Todo::Ack(tags);
        }
        if state.reopen || state.prefetch == 0 {
            return Todo::Close;
        }
        if state.prefetch > bounded_by {
            return Todo::Widen(state.prefetch);
        }
        if let Some(readers) = state.readers.clone().filter(|_| state.untold) {
            state.untold = false;
            return Todo::Share(readers);
        }
        Todo::Receive(state.credit)
    }

    fn acked(&self) {
        self.state().acking = false;
    }
}

enum Todo {
    Ack(Vec<Tag>),
    Receive(usize),
    /// Let it hold more.
    Widen(u32),
    /// Tell it who reads.
    Share(Readers),
    Close,
}

/// Serves one pool for ever. Owns its stream, so dropping this gives back what was not acked.
pub(crate) async fn serve_pool(queue: Arc<dyn Queue>, pool: Pool, desk: Arc<PoolDesk>, wake: Arc<Notify>) {
    let mut failures = 0;
    loop {
        let Some(wanted) = desk.wanted() else {
            desk.changed.notified().await;
            continue;
        };
        let served = match queue.steps(&pool, wanted).await {
            Ok(mut stream) => serve_stream(&mut *stream, wanted, &desk, &wake, &mut failures).await,
            Err(error) => Err(error),
        };
        desk.acked();
        if let Err(error) = served {
            tracing::warn!(%pool, %error, "the stream of steps broke; it is opened again");
            sleep(pause(failures)).await;
            failures += 1;
        }
    }
}

async fn serve_stream(
    stream: &mut dyn Steps,
    mut bounded_by: u32,
    desk: &PoolDesk,
    wake: &Notify,
    failures: &mut u32,
) -> Result<(), QueueError> {
    let opening = desk.begin();
    loop {
        match desk.todo(opening, bounded_by) {
            Todo::Widen(prefetch) if stream.set_prefetch(prefetch) => bounded_by = prefetch,
            Todo::Widen(_) | Todo::Close => return Ok(()),
            Todo::Share(readers) => stream.share(&readers),
            Todo::Ack(tags) => {
                stream.ack(&tags).await?;
                desk.acked();
                wake.notify_one();
            }
            Todo::Receive(0) => desk.changed.notified().await,
            Todo::Receive(credit) => tokio::select! {
                biased;
                () = desk.changed.notified() => {}
                received = stream.recv(credit) => {
                    desk.arrived(opening, received?);
                    *failures = 0;
                    wake.notify_one();
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_domain::{Clock, ProcessId, Timestamp};
    use aidt_queue::Outgoing;
    use aidt_queue::memory::MemoryQueue;
    use bytes::Bytes;

    #[derive(Debug)]
    struct Epoch;

    impl Clock for Epoch {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }
    }

    async fn arrivals(desk: &PoolDesk, wake: &Notify) -> Vec<Arrival> {
        wake.notified().await;
        desk.take_arrivals()
    }

    #[tokio::test(start_paused = true)]
    async fn more_slots_widen_the_stream_that_is_open() {
        let queue = Arc::new(MemoryQueue::new(Arc::new(Epoch), "first".to_owned()));
        let pool = Pool::new("p").unwrap();
        let step = |body| (pool.clone(), Outgoing { body, republished: false, traceparent: None });
        let steps = ["a", "b"].map(|body| step(Bytes::from_static(body.as_bytes())));
        queue.publish_steps(steps.into()).await.unwrap();
        let (desk, wake) = (Arc::new(PoolDesk::default()), Arc::new(Notify::new()));
        let mut served = std::pin::pin!(serve_pool(queue, pool, Arc::clone(&desk), Arc::clone(&wake)));
        let mut meanwhile = async |desk: &PoolDesk| {
            tokio::select! {
                biased;
                () = &mut served => unreachable!("it serves for ever"),
                arrived = arrivals(desk, &wake) => arrived,
            }
        };
        desk.allow(1, 1);
        let me = ProcessId(uuid::Uuid::from_u128(1));
        desk.share(Readers { me, all: [me].into() });
        let first = meanwhile(&desk).await;
        desk.allow(2, 1);
        let second = meanwhile(&desk).await;
        let openings: Vec<u64> = first.iter().chain(&second).map(|a| a.taken.opening).collect();
        assert_eq!(openings, [1, 1], "a new stream gives back what the old one took");
        assert_eq!((&*first[0].delivery.body, &*second[0].delivery.body), (&b"a"[..], &b"b"[..]));
    }
}
