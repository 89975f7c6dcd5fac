//! The ports, each in terms of the writer, the owner's reads and the other reads.

mod catalog;
mod claims;
mod history;
mod inbox;
mod processes;
mod run_log;
mod texts;

type Result<T> = std::result::Result<T, aidt_store::StoreError>;
