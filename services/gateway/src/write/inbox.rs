//! Putting commands into the inbox: accepted means in here.

use crate::Api;
use crate::web::Caller;
use aidt_domain::{Command, CommandBody, CommandId, Digest, PartitionId, RunId, Timestamp};
use aidt_store::{InboxRow, Kind, StoreError, Submission, Submitted};
use aidt_telemetry::{Kind as SpanKind, Scope, Span, timed};
use bytes::Bytes;
use std::time::Duration;

/// How often an insert is tried when the store cannot be reached, and how long between.
const TRIES: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(50);

/// A command on its way into the inbox, with the span whose place it carries.
pub(crate) struct Accepting {
    submission: Submission,
    span: Span,
}

/// A command that carries the place of an earlier span.
impl From<Submission> for Accepting {
    fn from(submission: Submission) -> Self {
        Self { submission, span: Span::none() }
    }
}

impl Accepting {
    /// The command's name.
    pub(crate) fn command(&self) -> CommandId {
        self.submission.row.id
    }
}

/// A command of the caller's to a run, with the documents that it names.
pub(crate) fn submission(
    api: &Api,
    caller: &Caller,
    run: RunId,
    body: CommandBody,
    documents: Vec<(Digest, Bytes)>,
    idempotency: Option<(String, Digest)>,
) -> Accepting {
    let id = CommandId((api.ids)());
    let parent = caller.traceparent.as_deref();
    let span = Span::child(Scope::Gateway, SpanKind::Producer, parent, format_args!("submit {}", body.name()))
        .with("aidt.run.id", format_args!("{run}"))
        .with("aidt.project", caller.project.as_str())
        .with("aidt.command", body.name());
    let command = Command {
        id: Some(id),
        project: caller.project.clone(),
        run,
        actor: caller.actor.clone(),
        traceparent: span.traceparent_or(parent),
        body,
    };
    let row = InboxRow {
        seq: 0,
        id,
        project: caller.project.clone(),
        run,
        partition: PartitionId::of(run, api.store.run_log.partitions()),
        command: aidt_proto::encode_command(&command).expect("people's commands travel"),
        at: Timestamp::default(),
    };
    Accepting { submission: Submission { row, documents, idempotency }, span }
}

/// Inserts, and tells the owner. Tries again while the store cannot be reached; after a failure that
/// may have happened it looks first. Should a command come in twice all the same, the first answer to
/// it counts: a second start is refused, as is a second cancel.
pub(crate) async fn submit(api: &Api, accepting: impl Into<Accepting>) -> Result<Submitted, StoreError> {
    let Accepting { submission, span: _ends_with_this } = accepting.into();
    let mut tried = 1;
    let submitted = loop {
        match timed("submit", api.store.inbox.submit(submission.clone())).await {
            Ok(submitted) => break submitted,
            Err(error) if tried == TRIES || !error.is_transient() => return Err(error),
            Err(error) => {
                tried += 1;
                tokio::time::sleep(BETWEEN).await;
                if error.kind == Kind::Unknown && is_there(api, &submission).await? {
                    break Submitted::Accepted;
                }
            }
        }
    };
    if submitted != Submitted::KeyReused {
        api.queue.nudge(&[submission.row.partition]).await;
    }
    Ok(submitted)
}

/// Whether it is in the inbox, or began its run already.
async fn is_there(api: &Api, submission: &Submission) -> Result<bool, StoreError> {
    let row = &submission.row;
    if !api.store.inbox.pending(&[row.id]).await?.is_empty() {
        return Ok(true);
    }
    let starts = !submission.documents.is_empty();
    Ok(starts && api.store.history.run(&row.project, row.run).await?.is_some())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Fault, TestApp, plan};
    use aidt_store::Kind;
    use serde_json::json;

    async fn submit(faults: &[Fault]) -> (TestApp, crate::testing::Answer) {
        let app = TestApp::faulty(faults);
        let answer = app.post("/v1/runs", json!({"plan": plan()})).await;
        (app, answer)
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_back_soon_is_waited_for() {
        let (_, answer) = submit(&[Fault::Before(Kind::Unavailable), Fault::Before(Kind::Unavailable)]).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_stays_away_is_unavailable() {
        let (app, answer) = submit(&[Fault::Before(Kind::Unavailable); 3]).await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(app.get("/v1/runs").await.ok()["items"], json!([]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_insert_that_may_have_happened_is_looked_for_and_there_once() {
        for fault in [Fault::After(Kind::Unknown), Fault::Before(Kind::Unknown)] {
            let (app, answer) = submit(&[fault]).await;
            assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("created")), "{fault:?}");
            app.owner().turn().await;
            let runs = app.get("/v1/runs").await.ok();
            assert_eq!(runs["items"].as_array().unwrap().len(), 1, "{fault:?}");
            assert_eq!((&runs["items"][0]["id"], &runs["items"][0]["last_seq"]), (&answer.json()["id"], &json!(1)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_can_never_succeed_is_not_repeated() {
        let (_, answer) = submit(&[Fault::Before(Kind::Invalid)]).await;
        answer.problem(500, "internal");
    }
}
