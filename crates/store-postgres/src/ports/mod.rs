//! The ports, each in terms of single statements.

mod catalog;
mod claims;
mod history;
mod inbox;
mod processes;
mod run_log;
mod texts;

pub(crate) use texts::put_dead_letters;

type Result<T> = std::result::Result<T, aidt_store::StoreError>;
