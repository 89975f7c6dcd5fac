//! What every endpoint shares of HTTP: who may come in, what a request may look like, how it fails.

pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod front_door;
pub(crate) mod nearest;
pub(crate) mod params;
pub(crate) mod path;
pub(crate) mod problem;
pub(crate) mod seen;
pub(crate) mod time_limit;

pub(crate) use body::Body;
pub(crate) use caller::Caller;
pub(crate) use params::Params;
pub(crate) use path::{RunOf, StepOf};
pub(crate) use problem::Problem;
