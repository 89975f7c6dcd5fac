//! A service of this binary in a process of its own.

use crate::workers::terminate;
use aidt_bench::{BedError, Party};
use aidt_cli::Service;
use aidt_client::{Client, Endpoint};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStderr, Command};
use tokio::task::JoinSet;

/// How long a process may take until it says where it listens, and until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long it may drain.
const DRAIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A process of `aidt serve`. Dropped, it is killed.
pub(super) struct Child {
    service: Service,
    process: tokio::process::Child,
    pub(super) endpoint: Endpoint,
    /// Passes on what it says.
    _said: JoinSet<()>,
}

impl Child {
    /// Starts it, and waits until it says where it listens.
    pub(super) async fn start(
        service: Service,
        home: &Path,
        variables: &[(&str, String)],
        not_set: &[&str],
    ) -> Result<Self, BedError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", service.name(), "--listen", "127.0.0.1:0"]);
        for name in not_set {
            command.env_remove(name);
        }
        command.envs(variables.iter().map(|(name, value)| (name, value))).env("AIDT_HOME", home);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let said = process.stderr.take().ok_or("a process without standard error")?;
        let mut lines = BufReader::new(said).lines();
        let endpoint = tokio::time::timeout(READY_WITHIN, address(service, &mut lines)).await;
        let endpoint = endpoint.map_err(|_| format!("{service} does not say where it listens"))??;
        let mut said = JoinSet::new();
        said.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::info!(%service, line, "a process says");
            }
        });
        Ok(Self { service, process, endpoint, _said: said })
    }

    /// Waits until it can do its work.
    pub(super) async fn ready(&self) -> Result<(), BedError> {
        let client = Client::new(self.endpoint.clone());
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        loop {
            match client.ready().await {
                Ok(()) => return Ok(()),
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(format!("{} is not ready: {}", self.service, crate::error::shown(&error)).into());
                }
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    pub(super) fn party(&self) -> Party {
        Party { name: self.service.name().to_owned(), is_server: false, pid: self.process.id() }
    }

    /// Tells it to end.
    pub(super) async fn terminate(&self) {
        if let Some(pid) = self.process.id() {
            terminate(pid).await;
        }
    }

    /// Waits until it has ended.
    pub(super) async fn ended(mut self) {
        if tokio::time::timeout(DRAIN, self.process.wait()).await.is_err() {
            tracing::warn!(service = %self.service, "a process did not end and is killed");
            drop(self.process.kill().await);
        }
    }
}

/// Where it listens, if a line says that. Others name addresses, too.
fn told(line: &str) -> Option<&str> {
    line.split_once(" listening on ")?.1.split_whitespace().next().filter(|word| word.starts_with("http://"))
}

/// Reads until it says where it listens.
async fn address(service: Service, lines: &mut Lines<BufReader<ChildStderr>>) -> Result<Endpoint, BedError> {
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(url) = told(&line) {
            return Ok(url.parse()?);
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(format!("{service} ended at once; it said:\n{said}").into())
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn an_address_in_a_log_is_not_where_it_listens() {
        assert_eq!(told("INFO traces go to endpoint=http://collector:4317"), None);
        assert_eq!(told("\u{25cf} listening on http://127.0.0.1:7070"), Some("http://127.0.0.1:7070"));
    }
}
