//! `GET /v1/tools`: the operator's catalogue, and who serves it.

use crate::Api;
use crate::read::List;
use crate::web::{Params, Problem};
use aidt_domain::{Digest, ToolEntry};
use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use std::sync::Arc;

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// A tool's entry, its digest, and how many live processes have workers that serve just this entry.
#[derive(Debug, Serialize)]
pub(crate) struct ToolView {
    #[serde(flatten)]
    entry: ToolEntry,
    digest: Digest,
    workers: usize,
}

/// `?limit=`, `?after=NAME`: by name.
pub(crate) async fn handle(State(api): State<Arc<Api>>, uri: Uri) -> Result<Json<List<ToolView>>, Problem> {
    let params = Params::of(&uri, &["limit", "after"])?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)? as usize;
    let after = params.one("after")?.unwrap_or_default();
    let (live, _) = api.store.processes.live(api.config.dead_after_ms()).await?;
    let mut entries: Vec<&ToolEntry> = api.catalogue.iter().filter(|e| e.name.as_str() > after).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let next = entries.get(limit).map(|_| entries[limit - 1].name.clone());
    let view = |entry: &ToolEntry| {
        let digest = entry.digest();
        let workers = live.iter().filter(|p| p.tools.contains(&digest)).count();
        ToolView { entry: entry.clone(), digest, workers }
    };
    Ok(Json(List { items: entries.into_iter().take(limit).map(view).collect(), next }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestApp, tool};
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn entries_with_their_digests_and_who_serves_them() {
        let app = TestApp::new();
        app.worker(&[tool("debug.echo").digest()]).await;
        let list = app.get("/v1/tools").await.ok();
        let echo = &list["items"][0];
        assert_eq!(
            (&echo["name"], &echo["effect"], &echo["pool"]),
            (&json!("debug.echo"), &json!("read"), &json!("builtin"))
        );
        assert_eq!((&echo["digest"], &echo["workers"]), (&json!(tool("debug.echo").digest()), &json!(1)));
        assert_eq!((&list["items"][1]["workers"], &list["next"]), (&json!(0), &json!(null)));
        let page = app.get("/v1/tools?limit=1").await.ok();
        assert_eq!(page["next"], "debug.echo");
        assert_eq!(app.get("/v1/tools?after=debug.echo").await.ok()["items"][0]["name"], "debug.sleep");
    }
}
