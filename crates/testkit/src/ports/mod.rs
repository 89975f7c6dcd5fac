//! The ports as one process sees them: they pause, fail before the effect, fail after it, double and reorder.
//! Behind them is the real thing in memory. Plants live here, and nowhere else.

mod claims;
mod loads;
mod locks;
mod queue;
mod reads;
mod store;
mod streams;

pub(crate) use locks::SimLocks;
pub(crate) use queue::SimQueue;
pub(crate) use store::{SimStore, check_death};

use crate::chaos::{Pause, Port, Side};
use crate::process::Process;
use tokio::time::Instant;

/// The operation failed; which side of its effect the caller knows.
pub(crate) struct Struck;

impl Process {
    /// Before an operation's effect. On an error nothing happened.
    pub(crate) async fn before(&self, port: Port, operation: &'static str) -> Result<(), Struck> {
        self.side(port, Side::Before, operation).await
    }

    /// After an operation's effect. On an error its answer is lost.
    pub(crate) async fn after(&self, port: Port, operation: &'static str) -> Result<(), Struck> {
        self.side(port, Side::After, operation).await
    }

    async fn side(&self, port: Port, side: Side, operation: &'static str) -> Result<(), Struck> {
        if self.is_doomed_at(side, operation) {
            self.world.fault("killed_at", || format!("{} {side:?} {operation}", self.id));
            self.fate.kill();
            std::future::pending::<()>().await;
        }
        let strike = self.world.with(|s| s.chaos.strike(port, side, Instant::now()));
        match strike.pause {
            Pause::None => {}
            Pause::Yield => tokio::task::yield_now().await,
            Pause::Sleep(time) => {
                self.world.count("fault", "pause");
                tokio::time::sleep(time).await;
            }
        }
        if !strike.fails {
            return Ok(());
        }
        self.world.fault(
            match side {
                Side::Before => "fail_before",
                Side::After => "fail_after",
            },
            || format!("{} {operation}", self.id),
        );
        Err(Struck)
    }
}
