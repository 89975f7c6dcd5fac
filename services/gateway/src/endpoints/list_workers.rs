//! `GET /v1/workers`: live processes, and the workers that are connected to them.

use crate::Api;
use crate::read::List;
use crate::read::json::time;
use crate::web::{Params, Problem};
use aidt_domain::{Digest, Pool, ProcessId, Timestamp};
use aidt_store::ProcessRow;
use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// A process with a heartbeat.
#[derive(Debug, Serialize)]
pub(crate) struct WorkerView {
    id: ProcessId,
    /// What it runs.
    services: Vec<String>,
    /// Slots of its workers, by pool.
    pools: BTreeMap<Pool, u32>,
    /// What its workers serve.
    tools: Vec<ServedTool>,
    /// Revision of the policy that is active in it.
    policy_revision: String,
    #[serde(serialize_with = "time")]
    heartbeat: Timestamp,
}

/// A tool that is served; without a name when no entry of the catalogue has the digest any more.
#[derive(Debug, Serialize)]
struct ServedTool {
    name: Option<String>,
    digest: Digest,
}

/// `?limit=`, `?after=ID`: by id.
pub(crate) async fn handle(State(api): State<Arc<Api>>, uri: Uri) -> Result<Json<List<WorkerView>>, Problem> {
    let params = Params::of(&uri, &["limit", "after"])?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)? as usize;
    let after: Option<ProcessId> = params.parse("after")?;
    let (mut live, _) = api.store.processes.live(api.config.dead_after_ms()).await?;
    live.retain(|p| after.is_none_or(|after| p.id > after));
    live.sort_by_key(|p| p.id);
    let next = live.get(limit).map(|_| live[limit - 1].id.to_string());
    let names: BTreeMap<Digest, &str> = api.catalogue.iter().map(|e| (e.digest(), e.name.as_str())).collect();
    let items = live.into_iter().take(limit).map(|p| WorkerView::of(p, &names)).collect();
    Ok(Json(List { items, next }))
}

impl WorkerView {
    fn of(process: ProcessRow, names: &BTreeMap<Digest, &str>) -> Self {
        let served = |digest| ServedTool { name: names.get(&digest).map(|&n| n.to_owned()), digest };
        Self {
            id: process.id,
            services: process.service.split(',').map(|s| s.trim().to_owned()).collect(),
            pools: process.slots,
            tools: process.tools.into_iter().map(served).collect(),
            policy_revision: process.policy_revision,
            heartbeat: process.heartbeat,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestApp, tool};
    use aidt_domain::Digest;
    use serde_json::json;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn live_processes_and_nobody_who_fell_silent() {
        let app = TestApp::new();
        app.worker(&[tool("debug.echo").digest(), Digest::of(b"gone")]).await;
        let list = app.get("/v1/workers").await.ok();
        let worker = &list["items"][0];
        assert_eq!(
            (&worker["pools"], &worker["services"]),
            (&json!({"builtin": 4}), &json!(["step-consumer", "tool-worker"]))
        );
        assert_eq!((&worker["tools"][0]["name"], &worker["tools"][1]["name"]), (&json!("debug.echo"), &json!(null)));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(app.get("/v1/workers").await.ok(), json!({"items": [], "next": null}));
    }
}
