//! The services of `aidt serve`.

use clap::ValueEnum;
use std::fmt;

/// A service: together in one process, or each in processes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Service {
    /// The API.
    Gateway,
    /// The owner of runs.
    CompletionConsumer,
    /// Takes steps off the queue; workers dial in here.
    StepConsumer,
    /// Runs the built-in tools.
    ToolWorker,
}

impl Service {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::CompletionConsumer, Self::StepConsumer, Self::ToolWorker];

    /// Its name: on the command line, and in the store's row of a process.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::CompletionConsumer => "completion-consumer",
            Self::StepConsumer => "step-consumer",
            Self::ToolWorker => "tool-worker",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_command_line_takes() {
        for service in Service::ALL {
            assert_eq!(Service::from_str(service.name(), false), Ok(service));
        }
    }
}
