//! Workers that were asked for with `--worker 'CMD'`: started with the embedder, ended with it.

use crate::error::cannot;
use aidt_cli::HostError;
use aidt_domain::ErrorCode;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a worker may drain.
const GRACE: Duration = Duration::from_secs(5);

/// Started workers. Dropping them kills them.
#[derive(Debug, Default)]
pub(crate) struct Workers(Vec<(String, Child)>);

impl Workers {
    /// Starts each command by `sh -c`, with the hub's address and the token's file in its environment.
    pub(crate) fn start(commands: &[String], socket: &Path, token: &Path) -> Result<Self, HostError> {
        let mut started = Vec::new();
        for command in commands {
            let child = Command::new("sh")
                .arg("-c")
                // The shell makes way, so that a signal reaches the worker itself.
                .arg(format!("exec {command}"))
                .env("AIDT_WORKER_URL", format!("unix:{}", socket.display()))
                .env("AIDT_WORKER_TOKEN_FILE", token)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .map_err(|e| cannot(ErrorCode::Unavailable, format!("cannot start the worker '{command}'"), e))?;
            started.push((command.clone(), child));
        }
        Ok(Self(started))
    }

    /// Asks them to drain, waits a while, then kills.
    pub(crate) async fn stop(mut self) {
        for (_, child) in &self.0 {
            if let Some(pid) = child.id() {
                terminate(pid).await;
            }
        }
        for (command, child) in &mut self.0 {
            if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                tracing::warn!(command, "a worker did not end and is killed");
                drop(child.kill().await);
            }
        }
    }
}

/// SIGTERM.
pub(crate) async fn terminate(pid: u32) {
    let told = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
    if let Err(error) = told {
        tracing::debug!(pid, %error, "cannot send SIGTERM");
    }
}
