//! The public client of aidt's HTTP API: typed calls, typed problems, and a reader of a run's events
//! that picks up where it lost its connection.
//!
//! It speaks to `http://HOST:PORT` or to a unix socket, keeps connections alive between calls, and owns
//! the tasks that drive them: dropping the last clone of a [`Client`] ends them all. It never repeats a
//! request that may have had an effect, unless the caller does so with [`retrying`] and a key.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use aidt_client::{Client, Follow, PlanSource, Submission, Update};
//! use aidt_domain::Seq;
//! use std::time::Duration;
//!
//! let client = Client::new("http://127.0.0.1:7070".parse()?);
//! let text = "name: hello\nsteps: [{id: say, tool: debug.echo, with: {value: hi}}]".to_owned();
//! let source = Some(PlanSource { name: "hello.yaml".into(), text });
//! let run = client.submit(&Submission { source, ..Submission::default() }, "a key of my own").await?.id;
//! let mut follow = Follow::new(&client, run, Seq(0), Duration::from_secs(30));
//! while let Some(update) = follow.next().await? {
//!     if let Update::Event(event) = update {
//!         println!("{} {}", event.seq, event.kind);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod catalogue;
mod client;
mod connection;
mod dead_letters;
mod endpoint;
mod error;
mod event;
mod events;
mod follow;
mod json;
mod runs;
mod sse;
mod types;

pub use client::Client;
pub use endpoint::{Endpoint, EndpointError};
pub use error::{ClientError, Diagnostic, Problem};
pub use event::Event;
pub use events::{EventStream, Update};
pub use follow::{Follow, Locate, retrying};
pub use json::Json;
pub use runs::RunFilter;
pub use types::{
    Accepted, Applied, CheckedPlan, Explanation, LogPiece, Page, PlanSource, Reason, RetryFrom, Run, Step, StepOutput,
    Submission, Tool,
};
