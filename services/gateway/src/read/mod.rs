//! Reading runs: rows, history and live changes, as they are shown.

pub(crate) mod error;
pub(crate) mod find;
pub(crate) mod follow;
pub(crate) mod graphs;
pub(crate) mod history;
pub(crate) mod json;
pub(crate) mod run_view;
pub(crate) mod watch;

pub(crate) use error::ReadError;
pub(crate) use find::{Found, find};
pub(crate) use graphs::Graphs;
pub(crate) use json::List;
pub(crate) use watch::Watch;
