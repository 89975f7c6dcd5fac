//! Changing runs: commands into the inbox, and what their owners answer.

pub(crate) mod apply;
pub(crate) mod inbox;
pub(crate) mod plan_of;
pub(crate) mod plans;

pub(crate) use apply::apply;
pub(crate) use plans::{Plans, Prepared};
