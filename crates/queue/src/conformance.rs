//! What every [`Queue`] must do, as tests that each adapter runs: see [`queue_conformance!`].
//!
//! They hold for any broker: delivery at least once, no order across partitions or streams, no
//! exclusivity, and a fresh message may be doubtful (a consumer that joins late cannot tell). So what an
//! adapter promises beyond that it tests by itself.
//!
//! [`queue_conformance!`]: crate::queue_conformance

mod commands;
mod steps;

pub use commands::*;
pub use steps::*;

use crate::port::{Outgoing, Queue};
use bytes::Bytes;
use std::time::Duration;

/// Makes a test of each function of this module. Given are the test attribute (an in-memory adapter can
/// pause the clock, one that talks to a server cannot) and an expression whose future gives a smart
/// pointer to a queue that is empty and shared with nobody.
///
/// ```
/// # mod tests {
/// # use aidt_queue::{Queue, memory::MemoryQueue};
/// # use std::sync::Arc;
/// # #[derive(Debug)] struct Epoch;
/// # impl aidt_domain::Clock for Epoch { fn now(&self) -> aidt_domain::Timestamp { Default::default() } }
/// async fn fresh() -> Arc<dyn Queue> {
///     Arc::new(MemoryQueue::new(Arc::new(Epoch), "test".to_owned()))
/// }
/// aidt_queue::queue_conformance!(#[tokio::test(start_paused = true)] fresh());
/// # }
/// ```
#[macro_export]
macro_rules! queue_conformance {
    (#[$test:meta] $fresh:expr) => {
        $crate::queue_conformance! { @each #[$test] $fresh;
            steps_arrive_byte_for_byte
            steps_published_before_anybody_listens_wait
            pools_are_apart
            a_republished_step_is_doubtful
            unacked_steps_come_back_doubtful
            acked_steps_stay_away
            acking_twice_is_harmless
            prefetch_bounds_what_is_unacked
            a_stream_that_is_widened_keeps_what_is_in_hand
            recv_takes_at_most_max
            streams_of_a_pool_share_the_work
            streams_that_are_told_of_each_other_leave_nothing_to_nobody
            who_is_left_gets_what_others_had
            a_cancelled_recv_loses_nothing
            a_large_batch_arrives
            commands_arrive_byte_for_byte_at_their_partitions
            commands_published_before_anybody_listens_wait
            unacked_commands_come_back_doubtful
            acked_commands_stay_away
            two_streams_of_a_partition_lose_nothing
            a_cursor_stays_behind_what_is_not_acked
            commands_are_taken_at_most_max_at_a_time
            a_cancelled_recv_of_commands_loses_nothing
            a_nudge_arrives
            nudging_nobody_is_harmless
            publishing_nothing_is_harmless
            an_incarnation_lasts
        }
    };
    (@each #[$test:meta] $fresh:expr; $($name:ident)*) => {
        $(
            #[$test]
            async fn $name() {
                $crate::conformance::$name(&*$fresh.await).await;
            }
        )*
    };
}

/// How long a message may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long nothing must happen to be taken for nothing.
const QUIET: Duration = Duration::from_millis(300);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it arrives in time")
}

async fn never<T>(future: impl Future<Output = T>) {
    assert!(tokio::time::timeout(QUIET, future).await.is_err(), "nothing more was to arrive");
}

/// Polls a future for a moment and drops it, unless it was done.
async fn cancelled<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::ZERO, future).await.ok()
}

fn message(body: impl Into<Bytes>) -> Outgoing {
    Outgoing { body: body.into(), republished: false, traceparent: None }
}

/// `0`, `1`, … as bodies.
fn numbered(count: usize) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(n.to_string())).collect()
}

/// Bodies that a transport could trip over; all different.
fn hostile() -> Vec<Bytes> {
    vec![
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from_static(b"in\0side"),
        Bytes::from_static(b"\xff\xfe\xed\xa0\x80"),
        Bytes::from_static(b"line\r\n.\r\nline\r\n"),
        Bytes::from_static(br#"{"lone":"\ud800","big":1e400}"#),
        Bytes::from_iter((0..=u8::MAX).cycle().take(aidt_domain::MAX_INLINE_BYTES)),
        Bytes::from(vec![0; aidt_domain::MAX_INLINE_BYTES]),
    ]
}

fn sorted(mut bodies: Vec<Bytes>) -> Vec<Bytes> {
    bodies.sort_unstable();
    bodies
}

/// The queue's incarnation stays while nothing is lost.
pub async fn an_incarnation_lasts(queue: &dyn Queue) {
    let first = queue.incarnation().await.expect("incarnation");
    assert!(!first.is_empty());
    let pool = steps::pool("p");
    queue.publish_steps(vec![(pool.clone(), message("x"))]).await.expect("publish");
    let mut stream = queue.steps(&pool, 1).await.expect("steps");
    in_time(stream.recv(1)).await.expect("recv");
    drop(stream);
    assert_eq!(queue.incarnation().await.expect("incarnation"), first);
}

/// Empty batches are no error and no message.
pub async fn publishing_nothing_is_harmless(queue: &dyn Queue) {
    queue.publish_steps(Vec::new()).await.expect("publish no steps");
    queue.publish_commands(Vec::new()).await.expect("publish no commands");
    queue.nudge(&[]).await;
    let mut steps = queue.steps(&steps::pool("p"), 1).await.expect("steps");
    steps.ack(&[]).await.expect("ack nothing");
    never(steps.recv(1)).await;
}

#[cfg(test)]
mod tests {
    use crate::memory::MemoryQueue;
    use crate::port::Queue;
    use aidt_domain::{Clock, Timestamp};
    use std::sync::Arc;

    #[derive(Debug)]
    struct Epoch;

    impl Clock for Epoch {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
    }

    async fn fresh() -> Arc<dyn Queue> {
        Arc::new(MemoryQueue::new(Arc::new(Epoch), "test".to_owned()))
    }

    crate::queue_conformance!(
        #[tokio::test(start_paused = true)]
        fresh()
    );
}
