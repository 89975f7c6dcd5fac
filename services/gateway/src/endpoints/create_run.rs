//! `POST /v1/runs`: submit a run.

use crate::Api;
use crate::read::find;
use crate::web::{Body, Caller, Problem};
use crate::write::Prepared;
use crate::write::inbox::{submission, submit};
use crate::write::plan_of::{GivenPlan, PlanText, Refused};
use aidt_domain::{CommandBody, Digest, ErrorCode, Labels, MAX_INLINE_BYTES, RunId, RunState, Start, canonical_json};
use aidt_plan::Diagnostic;
use aidt_plan::limits::{LABEL_BYTES, LABELS, NAME_BYTES};
use aidt_store::{StoreError, Submitted};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY: usize = 255;

/// What is submitted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRun {
    plan: Option<Box<RawValue>>,
    source: Option<PlanText>,
    #[serde(default)]
    inputs: Map<String, Value>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// What is answered.
#[derive(Debug, Serialize)]
struct Accepted<'a> {
    id: RunId,
    state: RunState,
    plan: &'a str,
    /// Content address of the plan as the run executes it.
    snapshot: Digest,
    warnings: &'a [Diagnostic],
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Plan(#[from] Refused),
    #[error("{} of the inputs do not fit the plan", .0.len())]
    Inputs(Vec<Diagnostic>),
    #[error("the inputs take {0} bytes; the limit is {MAX_INLINE_BYTES}")]
    InputsTooLarge(usize),
    #[error("{0}")]
    Labels(String),
    #[error("the header {IDEMPOTENCY_KEY} must be 1 to {MAX_KEY} visible ASCII characters")]
    Key,
    #[error("this {IDEMPOTENCY_KEY} was used with another body")]
    KeyReused,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Compiles the plan, checks the inputs, and puts the start into the inbox with the plan's document:
/// from then on the run is accepted and will end, whatever crashes. 202 with its id.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    Body { value: new, bytes }: Body<NewRun>,
) -> Result<Response, Problem> {
    let key = idempotency(&headers, &bytes)?;
    let plan = GivenPlan::of(new.plan, new.source).and_then(|given| given.prepare(&api)).map_err(Error::from)?;
    let start = start(&api, &plan, new.inputs, new.labels)?;
    let run = RunId((api.ids)());
    let documents = vec![(plan.digest, plan.document.clone())];
    let submission = submission(&api, &caller, run, CommandBody::Start(Box::new(start)), documents, key);
    let (run, state) = match submit(&api, submission).await.map_err(Error::from)? {
        Submitted::Accepted => (run, RunState::Created),
        Submitted::Repeated(first) => (first, find(&api, &caller.project, first).await?.state()),
        Submitted::KeyReused => return Err(Error::KeyReused.into()),
    };
    let (name, snapshot, warnings) = (&plan.snapshot.name, plan.digest, &plan.warnings);
    let body = Accepted { id: run, state, plan: name, snapshot, warnings };
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, format!("/v1/runs/{run}"))], Json(body)).into_response())
}

fn start(
    api: &Api,
    plan: &Prepared,
    inputs: Map<String, Value>,
    labels: BTreeMap<String, String>,
) -> Result<Start, Error> {
    check_labels(&labels)?;
    let size = serde_json::to_vec(&inputs).expect("a JSON object").len();
    if size > MAX_INLINE_BYTES {
        return Err(Error::InputsTooLarge(size));
    }
    let inputs = aidt_plan::check_inputs(&plan.snapshot, inputs).map_err(Error::Inputs)?;
    let (snapshot, input_labels) = (plan.digest, Labels::user());
    Ok(Start { snapshot, inputs, input_labels, labels, accepted_at: api.clock.now() })
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Error> {
    if labels.len() > LABELS {
        return Err(Error::Labels(format!("there are {} labels; the limit is {LABELS}", labels.len())));
    }
    let long = |(k, v): &(&String, &String)| k.is_empty() || k.len() > NAME_BYTES || v.len() > LABEL_BYTES;
    match labels.iter().find(long) {
        Some((name, _)) => Err(Error::Labels(format!(
            "label '{}': a name has 1 to {NAME_BYTES} bytes, a value at most {LABEL_BYTES}",
            name.chars().take(40).collect::<String>()
        ))),
        None => Ok(()),
    }
}

/// The key, with the digest of the body in a form that does not change with spaces or the order of keys.
fn idempotency(headers: &HeaderMap, body: &[u8]) -> Result<Option<(String, Digest)>, Error> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = key.to_str().map_err(|_| Error::Key)?;
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::Key);
    }
    let digest = match serde_json::from_slice::<Value>(body) {
        Ok(value) => Digest::of(&canonical_json(&value)),
        Err(_) => Digest::of(body),
    };
    Ok(Some((key.to_owned(), digest)))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Inputs(_) => ErrorCode::InvalidInputs,
            Error::InputsTooLarge(_) => ErrorCode::TooLarge,
            Error::Labels(_) | Error::Key => ErrorCode::InvalidArgument,
            Error::KeyReused => ErrorCode::IdempotencyKeyReused,
            Error::Plan(_) | Error::Store(_) => ErrorCode::Internal,
        };
        match error {
            Error::Plan(refused) => refused.into(),
            Error::Store(error) => error.into(),
            Error::Inputs(ref diagnostics) => {
                let errors = diagnostics.iter().map(|d| json!(d)).collect();
                Self::new(code, &error).with_errors(errors)
            }
            other => Self::new(code, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use crate::testing::{TestApp, plan};
    use aidt_domain::{CommandBody, RunId};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn body() -> Value {
        json!({"plan": plan(), "inputs": {"who": "you"}, "labels": {"ci": "42"}})
    }

    #[tokio::test(start_paused = true)]
    async fn a_submission_is_accepted_with_its_document_inputs_and_trace() {
        let app = TestApp::new();
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let answer = app.post_with("/v1/runs", &[("traceparent", trace)], body().to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let json = answer.json();
        assert_eq!(json["state"], "created");
        let run: RunId = json["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(answer.headers["location"], format!("/v1/runs/{run}"));

        let rows = app.store.inbox.waiting(run).await.unwrap();
        let command = aidt_proto::decode_command(&rows[0].command).unwrap();
        assert_eq!(command.traceparent.as_deref(), Some(trace));
        assert_eq!((command.id, &command.actor.0[..]), (Some(rows[0].id), "local"));
        let CommandBody::Start(start) = command.body else { panic!("{:?}", command.body) };
        assert_eq!((&start.inputs["who"], &start.labels["ci"]), (&json!("you"), &"42".to_owned()));
        assert_eq!(start.input_labels.iter().collect::<Vec<_>>(), ["user"]);
        let documents = app.store.catalog.documents(&[start.snapshot]).await.unwrap();
        assert_eq!(aidt_domain::Digest::of(&documents[0]), start.snapshot);
    }

    #[tokio::test(start_paused = true)]
    async fn text_is_taken_as_well_and_names_its_file_in_errors() {
        let app = TestApp::new();
        let source = |text: String| json!({"source": {"name": "ci/plan.json", "text": text}});
        assert_eq!(app.post("/v1/runs", source(plan().to_string())).await.status, 202);
        let mut wrong = plan();
        wrong["steps"][0]["tool"] = json!("debug.ecko");
        let answer = app.post("/v1/runs", source(wrong.to_string())).await;
        answer.problem(400, "invalid_plan");
        let error = &answer.json()["errors"][0];
        assert_eq!((&error["file"], &error["found"]), (&json!("ci/plan.json"), &json!("debug.ecko")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_key_gives_the_same_run_and_another_body_is_refused() {
        let app = TestApp::new();
        let key = [("idempotency-key", "deploy-7")];
        let first = app.post_with("/v1/runs", &key, body().to_string()).await.json();
        // Spaces and the order of keys are not another body.
        let again = format!("  {}", json!({"labels": {"ci": "42"}, "inputs": {"who": "you"}, "plan": plan()}));
        app.owner().turn().await;
        let second = app.post_with("/v1/runs", &key, again).await;
        assert_eq!((second.status, &second.json()["id"]), (202, &first["id"]));
        assert_eq!(second.json()["state"], "running", "as it is by now");
        let other = app.post_with("/v1/runs", &key, json!({"plan": plan()}).to_string()).await;
        other.problem(422, "idempotency_key_reused");
        let elsewhere = [key[0], ("x-aidt-project", "other")];
        let other = app.post_with("/v1/runs", &elsewhere, body().to_string()).await;
        assert_ne!(other.json()["id"], first["id"], "keys are the project's");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_is_named() {
        let app = TestApp::new();
        let post = async |body: Value| app.post("/v1/runs", body).await;
        assert!(post(json!({})).await.problem(400, "invalid_argument").contains("`plan`"));
        let both = json!({"plan": plan(), "source": {"name": "x", "text": "y"}});
        assert!(post(both).await.problem(400, "invalid_argument").contains("not both"));
        assert!(post(json!({"plan": 7})).await.problem(400, "invalid_argument").contains("object"));
        assert!(post(json!({"plan": "notes@3"})).await.problem(404, "not_found").contains("notes@3"));
        let unknown = post(json!({"plan": plan(), "inptus": {}})).await;
        unknown.problem(400, "invalid_argument");
        assert_eq!(unknown.json()["errors"][0]["nearest"], "inputs");
        let inputs = post(json!({"plan": plan(), "inputs": {"whom": 1}})).await;
        inputs.problem(400, "invalid_inputs");
        assert_eq!(inputs.json()["errors"].as_array().unwrap().len(), 1);
        let large = json!({"plan": plan(), "inputs": {"who": "x".repeat(300_000)}});
        assert!(post(large).await.problem(413, "too_large").contains("262144"));
        let label = json!({"plan": plan(), "labels": {"x".repeat(300): "y"}});
        post(label).await.problem(400, "invalid_argument");
        let long = "k".repeat(256);
        for key in ["", "two words", &long] {
            let answer = app.post_with("/v1/runs", &[("idempotency-key", key)], body().to_string()).await;
            answer.problem(400, "invalid_argument");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_have_a_size_a_type_and_a_charset() {
        let app = TestApp::with(Config { max_body_bytes: 1000, ..Config::default() });
        let large = app.post("/v1/runs", json!({"labels": {"x": "y".repeat(2000)}})).await;
        assert!(large.problem(413, "too_large").contains("1000 bytes"));
        let form =
            crate::testing::request("POST", "/v1/runs").header("content-type", "text/plain").body("{}".into()).unwrap();
        app.call(form).await.problem(415, "unsupported_media_type");
        app.post_with("/v1/runs", &[], vec![b'{', 0xff]).await.problem(400, "invalid_argument");
        app.post_with("/v1/runs", &[], "{\"plan\": {}").await.problem(400, "invalid_argument");
    }

    #[tokio::test(start_paused = true)]
    async fn two_hundred_at_once_are_taken() {
        let app = Arc::new(TestApp::new());
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let app = app.clone();
            calls.spawn(async move { app.post("/v1/runs", body()).await.status });
        }
        assert_eq!(calls.join_all().await, [202; 200]);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_at_once_are_shed() {
        let app = TestApp::with(Config { max_writes: 1, ..Config::default() });
        let run = app.submit().await;
        let path = format!("/v1/runs/{run}/cancel");
        // Nobody applies the cancel, so it waits.
        let (waiting, shed) = tokio::join!(app.post(&path, json!({})), app.post("/v1/runs", body()));
        shed.problem(503, "overloaded");
        assert_eq!(shed.headers["retry-after"], "1");
        assert_eq!(waiting.status, 202);
        assert_eq!(app.post("/v1/runs", body()).await.status, 202, "there is room again");
    }
}
