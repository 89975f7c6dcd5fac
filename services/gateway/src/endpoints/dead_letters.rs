//! `/v1/dead-letters`: what nothing could be done with, from any inlet, and what a person does about it.

use crate::Api;
use crate::read::List;
use crate::read::json::time;
use crate::web::{Caller, Params, Problem};
use aidt_domain::{CommandId, ErrorCode, PartitionId, Pool, Project, RunId, Timestamp};
use aidt_queue::{Outgoing, QueueError};
use aidt_store::{DeadLetter, InboxRow, Submission};
use axum::Json;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// A dead letter, without its bytes.
#[derive(Debug, Serialize)]
pub(crate) struct LetterView {
    id: u64,
    /// `inbox`, `commands`, `steps:POOL`.
    inlet: String,
    project: Option<Project>,
    run: Option<RunId>,
    reason: String,
    headers: BTreeMap<String, String>,
    /// Bytes.
    size: usize,
    #[serde(serialize_with = "time")]
    at: Timestamp,
}

impl From<&DeadLetter> for LetterView {
    fn from(letter: &DeadLetter) -> Self {
        Self {
            id: letter.id,
            inlet: letter.inlet.clone(),
            project: letter.project.clone(),
            run: letter.run,
            reason: letter.reason.clone(),
            headers: letter.headers.clone(),
            size: letter.bytes.len(),
            at: letter.at,
        }
    }
}

/// `?limit=`, `?after=ID`: oldest first.
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<List<LetterView, u64>>, Problem> {
    let params = Params::of(&uri, &["limit", "after"])?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let after: u64 = params.parse("after")?.unwrap_or(0);
    let letters = api.store.dead_letters.dead_letters(after, limit).await?;
    let next = letters.last().filter(|_| letters.len() == limit as usize).map(|l| l.id);
    let items = letters.iter().filter(|l| is_of(l, &caller)).map(LetterView::from).collect();
    Ok(Json(List { items, next }))
}

/// One, with its bytes in base64.
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let letter = find(&api, &caller, &id).await?;
    let mut view = json!(LetterView::from(&letter));
    view["bytes"] = json!(STANDARD.encode(&letter.bytes));
    Ok(Json(view))
}

/// Sends it on its way again, then drops it: at least once, which a command and a step bear.
pub(crate) async fn redrive(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let letter = find(&api, &caller, &id).await?;
    match letter.inlet.split_once(':') {
        None if letter.inlet == "inbox" => to_inbox(&api, &letter).await?,
        None if letter.inlet == "commands" => {
            let partition = partition(&api, &letter)?;
            api.queue.publish_commands(vec![(partition, outgoing(&letter))]).await.map_err(unavailable)?;
        }
        Some(("steps", pool)) => {
            let pool = Pool::new(pool).map_err(|e| cannot(&letter, e))?;
            api.queue.publish_steps(vec![(pool, outgoing(&letter))]).await.map_err(unavailable)?;
        }
        _ => return Err(cannot(&letter, format!("there is no inlet '{}'", letter.inlet))),
    }
    api.store.dead_letters.drop_dead_letters(&[letter.id]).await?;
    Ok(Json(json!({"id": letter.id, "inlet": letter.inlet, "redriven": true})))
}

/// Takes it out for good.
pub(crate) async fn drop_one(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let letter = find(&api, &caller, &id).await?;
    api.store.dead_letters.drop_dead_letters(&[letter.id]).await?;
    Ok(Json(json!({"id": letter.id, "inlet": letter.inlet, "dropped": true})))
}

async fn to_inbox(api: &Api, letter: &DeadLetter) -> Result<(), Problem> {
    let run = letter.run.ok_or_else(|| cannot(letter, "it cannot be told to which run it was"))?;
    let known = aidt_proto::decode_command(&letter.bytes).ok().and_then(|c| c.id);
    let row = InboxRow {
        seq: 0,
        // The same letter redriven twice at once is in the inbox once.
        id: known.unwrap_or_else(|| CommandId(Uuid::new_v5(&Uuid::NAMESPACE_OID, &letter.bytes))),
        project: letter.project.clone().unwrap_or_default(),
        run,
        partition: PartitionId::of(run, api.store.run_log.partitions()),
        command: letter.bytes.clone(),
        at: Timestamp::default(),
    };
    crate::write::inbox::submit(api, Submission { row, documents: Vec::new(), idempotency: None }).await?;
    Ok(())
}

fn partition(api: &Api, letter: &DeadLetter) -> Result<PartitionId, Problem> {
    let count = api.store.run_log.partitions();
    let told = letter.headers.get("partition").and_then(|p| p.parse().ok()).filter(|p| *p < count).map(PartitionId);
    let of_run = || letter.run.map(|run| PartitionId::of(run, count));
    told.or_else(of_run).ok_or_else(|| cannot(letter, "it cannot be told to which partition it was"))
}

fn outgoing(letter: &DeadLetter) -> Outgoing {
    let traceparent = letter.headers.get("traceparent").cloned();
    Outgoing { body: letter.bytes.clone(), republished: true, traceparent }
}

async fn find(api: &Api, caller: &Caller, id: &str) -> Result<DeadLetter, Problem> {
    let none = || Problem::not_found(format!("there is no dead letter {}", id.chars().take(40).collect::<String>()));
    let id: u64 = id.parse().map_err(|_| none())?;
    let before = id.checked_sub(1).ok_or_else(none)?;
    let letters = api.store.dead_letters.dead_letters(before, 1).await?;
    letters.into_iter().find(|l| l.id == id && is_of(l, caller)).ok_or_else(none)
}

/// A letter that names no project is shown to everybody who may see dead letters at all.
fn is_of(letter: &DeadLetter, caller: &Caller) -> bool {
    letter.project.as_ref().is_none_or(|p| *p == caller.project)
}

fn cannot(letter: &DeadLetter, why: impl std::fmt::Display) -> Problem {
    Problem::new(ErrorCode::NotApplicable, format!("dead letter {} cannot be redriven: {why}", letter.id))
}

fn unavailable(error: QueueError) -> Problem {
    Problem::new(ErrorCode::Unavailable, error)
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApp;
    use aidt_domain::{PartitionId, Pool, Project, RunId, Timestamp};
    use aidt_queue::Queue as _;
    use aidt_store::DeadLetter;
    use bytes::Bytes;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn letter(inlet: &str, run: Option<RunId>) -> DeadLetter {
        DeadLetter {
            id: 0,
            inlet: inlet.to_owned(),
            project: run.map(|_| Project::default()),
            run,
            reason: "it cannot be read".to_owned(),
            headers: BTreeMap::new(),
            bytes: Bytes::from_static(b"\0what"),
            at: Timestamp(0),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_listed_shown_and_dropped() {
        let app = TestApp::new();
        let run = app.running().await;
        let elsewhere = DeadLetter { project: Some("other".parse().unwrap()), ..letter("inbox", Some(run)) };
        let all = vec![letter("commands", Some(run)), letter("steps:p", None), elsewhere];
        app.store.dead_letters.bury(all).await.unwrap();
        let list = app.get("/v1/dead-letters").await.ok();
        assert_eq!(list["items"].as_array().unwrap().len(), 2, "what is another project's is not shown: {list}");
        assert_eq!((&list["items"][1]["inlet"], &list["items"][1]["size"]), (&json!("steps:p"), &json!(5)));
        assert_eq!(app.get("/v1/dead-letters?limit=1").await.ok()["next"], 1);
        let one = app.get("/v1/dead-letters/1").await.ok();
        assert_eq!((&one["bytes"], &one["run"]), (&json!("AHdoYXQ="), &json!(run)));
        for missing in ["3", "0", "99", "x"] {
            app.get(&format!("/v1/dead-letters/{missing}")).await.problem(404, "not_found");
        }
        let dropped = app.post("/v1/dead-letters/1/drop", json!({})).await.ok();
        assert_eq!(dropped, json!({"id": 1, "inlet": "commands", "dropped": true}));
        app.post("/v1/dead-letters/1/drop", json!({})).await.problem(404, "not_found");
    }

    #[tokio::test(start_paused = true)]
    async fn redriven_is_where_it_came_from_and_no_letter_any_more() {
        let app = TestApp::new();
        let run = app.running().await;
        let count = app.store.run_log.partitions();
        let mut lost = letter("commands", None);
        app.store
            .dead_letters
            .bury(vec![
                letter("inbox", Some(run)),
                letter("commands", Some(run)),
                letter("steps:p", None),
                lost.clone(),
            ])
            .await
            .unwrap();
        lost.headers.insert("partition".to_owned(), "1".to_owned());
        app.store.dead_letters.bury(vec![lost]).await.unwrap();

        assert_eq!(app.post("/v1/dead-letters/1/redrive", json!({})).await.ok()["redriven"], true);
        assert_eq!(app.store.inbox.waiting(run).await.unwrap()[0].command, &b"\0what"[..]);
        app.post("/v1/dead-letters/2/redrive", json!({})).await.ok();
        app.post("/v1/dead-letters/5/redrive", json!({})).await.ok();
        let all: Vec<_> = (0..count).map(|p| (PartitionId(p), 0)).collect();
        let (commands, _) = app.queue.commands(&all).await.unwrap().recv(9).await.unwrap();
        let mut to: Vec<_> = commands.iter().map(|(p, _)| *p).collect();
        to.sort();
        let mut expected = vec![PartitionId::of(run, count), PartitionId(1)];
        expected.sort();
        assert_eq!(to, expected);
        app.post("/v1/dead-letters/3/redrive", json!({})).await.ok();
        let steps = app.queue.steps(&Pool::new("p").unwrap(), 1).await.unwrap().recv(1).await.unwrap();
        assert!(steps[0].doubtful);
        app.post("/v1/dead-letters/4/redrive", json!({})).await.problem(409, "not_applicable");
        let left = app.get("/v1/dead-letters").await.ok();
        assert_eq!((left["items"].as_array().unwrap().len(), &left["items"][0]["id"]), (1, &json!(4)));
    }
}
