//! How a task can end badly.

use std::any::Any;

/// Any error of a task.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A task that ended badly; it names the task by its path in the tree, e.g. `gateway/http`.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It panicked.
    #[error("task {task} panicked: {message}")]
    Panicked {
        /// Its path.
        task: String,
        /// What it said.
        message: String,
    },
    /// It returned an error.
    #[error("task {task} failed")]
    Failed {
        /// Its path.
        task: String,
        /// The error.
        #[source]
        source: BoxError,
    },
    /// It was to run until told to stop, and did not.
    #[error("task {task} ended before it was told to")]
    Ended {
        /// Its path.
        task: String,
    },
    /// It did not stop, not even when aborted: it blocks its thread.
    #[error("tasks did not stop when aborted: {tasks}")]
    Stuck {
        /// Their paths, separated by commas.
        tasks: String,
    },
}

impl TaskError {
    pub(crate) fn panicked(task: &str, payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(no message)".to_owned());
        Self::Panicked { task: task.to_owned(), message }
    }

    /// An error of a task; one that names a task within it stays as it is.
    pub(crate) fn failed(task: &str, source: BoxError) -> Self {
        match source.downcast::<Self>() {
            Ok(inner) => *inner,
            Err(source) => Self::Failed { task: task.to_owned(), source },
        }
    }
}
