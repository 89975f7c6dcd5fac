//! Doing something each second, whatever else the process is busy with.

use crate::Thread;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Calls `beat` now and then each `period`, on a thread of its own, until the handle is dropped or
/// stopped. A beat that panics ends it, and the handle's error says so.
pub fn spawn<B, Fut>(name: &str, period: Duration, beat: B) -> io::Result<Thread<()>>
where
    B: FnMut() -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    Thread::spawn(name, move || every(period, beat))
}

/// The same without a thread, for a simulation: calls `beat` now and then each `period`, forever. A beat
/// that takes longer than the period delays the next: there are never two. Cancel safe if `beat` is.
pub async fn every<B, Fut>(period: Duration, mut beat: B)
where
    B: FnMut() -> Fut,
    Fut: Future<Output = ()>,
{
    let mut ticks = tokio::time::interval_at(Instant::now(), period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        beat().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const SECOND: Duration = Duration::from_secs(1);

    async fn beats_of(takes: Duration, watched: Duration) -> Vec<Duration> {
        let (start, beats) = (Instant::now(), RefCell::new(Vec::new()));
        let beating = every(SECOND, || async {
            beats.borrow_mut().push(start.elapsed());
            tokio::time::sleep(takes).await;
        });
        let _ = tokio::time::timeout(watched, beating).await;
        beats.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn it_beats_at_once_and_each_period() {
        let expected = [0, 1, 2, 3].map(Duration::from_secs);
        assert_eq!(beats_of(SECOND / 10, SECOND * 7 / 2).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_beat_is_never_overtaken_nor_made_up_for() {
        let beats = beats_of(SECOND * 5 / 2, SECOND * 8).await;
        assert_eq!(beats.len(), 4);
        assert!(beats.windows(2).all(|pair| pair[1] - pair[0] >= SECOND * 5 / 2), "{beats:?}");
    }

    #[tokio::test]
    async fn it_beats_while_this_thread_is_blocked() {
        let (tell, told) = std::sync::mpsc::channel();
        let heart = spawn("heartbeat", Duration::from_millis(1), move || {
            let _ = tell.send(());
            std::future::ready(())
        });
        // Blocks the test's runtime on purpose.
        for _ in 0..3 {
            told.recv_timeout(Duration::from_secs(30)).unwrap();
        }
        heart.unwrap().stop().await;
        told.iter().for_each(drop);
    }
}
