//! SIGINT and SIGTERM.

use crate::Shutdown;
use std::fmt;
use std::io;
use tokio::signal::unix::{self, SignalKind};

/// A signal that asks the process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What a supervisor sends.
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// The process's stop signals. From its installation on, the process no longer dies of them.
#[derive(Debug)]
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    /// Starts to listen. Install early: a signal before it kills the process.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    /// The next signal. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            // Tokio ends these streams never.
            else => std::future::pending().await,
        }
    }

    /// The first signal drains, the second kills; then it returns. Cancel safe.
    pub async fn escalate(&mut self, shutdown: &Shutdown) {
        while !shutdown.is_killed() {
            let signal = self.next().await;
            let stage = if shutdown.is_draining() { "stopping at once" } else { "draining" };
            tracing::info!(%signal, stage, "told to stop");
            shutdown.escalate();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(name: &str) {
        let pid = std::process::id().to_string();
        let status = std::process::Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// One test, because a signal is for the whole process.
    #[tokio::test]
    async fn the_first_drains_the_second_kills() {
        let mut signals = Signals::install().unwrap();
        let shutdown = Shutdown::new();
        send("TERM");
        assert_eq!(signals.next().await, Signal::Terminate);
        send("INT");
        assert_eq!(signals.next().await, Signal::Interrupt);

        let escalating = signals.escalate(&shutdown);
        let told = async {
            send("TERM");
            shutdown.draining().await;
            assert!(!shutdown.is_killed());
            send("TERM");
            shutdown.killed().await;
        };
        tokio::join!(escalating, told);
    }
}
