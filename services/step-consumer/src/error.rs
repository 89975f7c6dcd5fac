//! How a step consumer ends when it does not end well.

use aidt_domain::ProcessId;

/// Why a step consumer ended before, or without, a clean drain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others have taken over what this process held. Begin a new life under a new process id.
    #[error("process {0} was taken for dead by others; start again under a new process id")]
    TakenForDead(ProcessId),

    /// Neither broker nor store took these results before the drain's end. Workers keep them and report
    /// them to the next step consumer.
    #[error("{results} results could not be handed over before the drain ended; workers report them again")]
    Undelivered {
        /// How many.
        results: usize,
    },

    /// The results of these claims are with the broker, and no owner has recorded them before the drain's end. Close
    /// this life, and their steps are handed out again; let it fall silent, and owners have a while yet.
    #[error("the results of {claims} steps were handed over and not recorded by their owners before the drain ended")]
    Unrecorded {
        /// How many.
        claims: usize,
    },
}

/// A setting that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("step consumer setting {setting}: {problem}")]
pub struct ConfigError {
    /// Which.
    pub setting: &'static str,
    /// What is wrong, and what to do.
    pub problem: String,
}
