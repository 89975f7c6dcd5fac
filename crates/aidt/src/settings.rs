//! Where every setting comes from: flags, then `AIDT_*`, then the default.

use aidt_cli::HostError;
use aidt_domain::ErrorCode;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// The settings of a process.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `AIDT_HOME`: everything that an embedded aidt keeps.
    pub(crate) home: PathBuf,
    /// `AIDT_DATABASE_URL`.
    pub(crate) database: Option<String>,
    /// `AIDT_QUEUE_URL`.
    pub(crate) queue: Option<String>,
    /// `AIDT_LOCK_URL`.
    pub(crate) lock: Option<String>,
    /// `AIDT_ARTIFACTS_URL`.
    pub(crate) artifacts: Option<String>,
    /// `AIDT_WORKSPACE_ROOTS`, separated by colons.
    pub(crate) roots: Vec<PathBuf>,
    /// `AIDT_WORKER_SLOTS`: calls that the built-in worker runs at once.
    pub(crate) slots: u32,
    /// `PATH`, for git.
    pub(crate) path: String,
    /// Where the command was invoked.
    pub(crate) cwd: PathBuf,
}

/// Calls that the built-in worker runs at once. Its tools mostly wait for git or a timer.
const SLOTS: u32 = 64;

impl Settings {
    /// From the environment.
    pub(crate) fn from_env() -> Result<Self, HostError> {
        let cwd = std::env::current_dir()
            .map_err(|e| HostError::new(ErrorCode::InvalidArgument, format!("cannot tell the current folder: {e}")))?;
        let home = match var("AIDT_HOME") {
            Some(home) => cwd.join(home),
            None => match var("HOME") {
                Some(home) => PathBuf::from(home).join(".aidt"),
                None => {
                    let message = "neither AIDT_HOME nor HOME is set: set AIDT_HOME to a folder for aidt's state";
                    return Err(HostError::new(ErrorCode::InvalidArgument, message));
                }
            },
        };
        let roots = var("AIDT_WORKSPACE_ROOTS").unwrap_or_default();
        Ok(Self {
            home,
            database: var("AIDT_DATABASE_URL"),
            queue: var("AIDT_QUEUE_URL"),
            lock: var("AIDT_LOCK_URL"),
            artifacts: var("AIDT_ARTIFACTS_URL"),
            roots: roots.split(':').filter(|r| !r.is_empty()).map(|r| cwd.join(r)).collect(),
            slots: slots(var("AIDT_WORKER_SLOTS"))?,
            path: var("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()),
            cwd,
        })
    }
}

fn slots(set: Option<String>) -> Result<u32, HostError> {
    let Some(text) = set else { return Ok(SLOTS) };
    match text.parse() {
        Ok(slots @ 1..=4096) => Ok(slots),
        _ => {
            let message = format!("AIDT_WORKER_SLOTS is '{text}': give a number from 1 to 4096");
            Err(HostError::new(ErrorCode::InvalidArgument, message))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `AIDT_LOG` (or `LOG_LEVEL`): what is logged, to standard error; `AIDT_LOG_FORMAT=json` for machines.
pub(crate) fn init_log() {
    let level = var("AIDT_LOG").or_else(|| var("LOG_LEVEL")).unwrap_or_else(|| "error".to_owned());
    let filter = EnvFilter::try_new(&level).unwrap_or_else(|_| EnvFilter::new("error"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if var("AIDT_LOG_FORMAT").as_deref() == Some("json") {
        subscriber.json().try_init()
    } else {
        subscriber.try_init()
    };
    drop(set);
}
