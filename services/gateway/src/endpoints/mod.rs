//! The endpoints, one a file, and the table of their paths.

mod cancel_run;
mod check_plan;
mod create_run;
mod dead_letters;
mod explain_run;
mod get_artifact;
mod get_run;
mod list_events;
mod list_runs;
mod list_steps;
mod list_tools;
mod list_workers;
mod resolve_step;
mod retry_run;
mod server;
mod step_logs;
mod stream_events;

use crate::Api;
use crate::web::Problem;
use crate::web::front_door::{Door, guard};
use crate::web::time_limit::{finish, time_limit};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use std::sync::Arc;

/// Everything behind one door.
pub(crate) fn router(api: &Arc<Api>, door: Door) -> Router {
    Router::new()
        .merge(reads(api))
        .merge(waits(api))
        .merge(writes(api))
        .fallback(server::no_such_path)
        .method_not_allowed_fallback(server::no_such_method)
        .layer(from_fn_with_state(door, guard))
        .layer(from_fn(finish))
        .with_state(api.clone())
}

/// Answered at once.
fn reads(api: &Arc<Api>) -> Router<Arc<Api>> {
    Router::new()
        .route("/health", get(server::health))
        .route("/ready", get(server::ready))
        .route("/metrics", get(server::metrics))
        .route("/errors/{code}", get(server::error_page))
        .route("/v1/version", get(server::version))
        .route("/v1/tools", get(list_tools::handle))
        .route("/v1/workers", get(list_workers::handle))
        .route("/v1/artifacts/{digest}", get(get_artifact::handle))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/{id}", get(dead_letters::show))
        .route("/v1/runs", get(list_runs::handle))
        .route("/v1/runs/{run}/steps", get(list_steps::handle))
        .route("/v1/runs/{run}/steps/{step}/logs", get(step_logs::handle))
        .route("/v1/runs/{run}/events", get(list_events::handle))
        .route("/v1/runs/{run}/explain", get(explain_run::handle))
        .route_layer(from_fn_with_state(api.config.request_timeout, time_limit))
}

/// Answered when something has happened.
fn waits(api: &Arc<Api>) -> Router<Arc<Api>> {
    let longest = api.config.request_timeout + api.config.max_wait;
    Router::new()
        .route("/v1/runs/{run}", get(get_run::handle))
        .route("/v1/runs/{run}/wait", get(get_run::wait))
        .route_layer(from_fn_with_state(longest, time_limit))
}

/// What takes a body: so many at a time.
fn writes(api: &Arc<Api>) -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/runs", post(create_run::handle))
        .route("/v1/runs/{run}/cancel", post(cancel_run::handle))
        .route("/v1/runs/{run}/retry", post(retry_run::handle))
        .route("/v1/runs/{run}/resolve", post(resolve_step::by_body))
        .route("/v1/runs/{run}/steps/{step}/resolve", post(resolve_step::handle))
        .route("/v1/plans/check", post(check_plan::handle))
        .route("/v1/dead-letters/{id}/redrive", post(dead_letters::redrive))
        .route("/v1/dead-letters/{id}/drop", post(dead_letters::drop_one))
        .route_layer(from_fn_with_state(api.config.request_timeout, time_limit))
        .route_layer(from_fn_with_state(api.clone(), admit))
}

/// Refuses a write before its body is read when too many are in flight.
async fn admit(State(api): State<Arc<Api>>, request: Request, next: Next) -> Result<Response, Problem> {
    let _permit = api.admit_write()?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    /// The page lists every path of the table above, and no other.
    #[test]
    fn the_reference_lists_every_path() {
        let table = include_str!("mod.rs").split("#[cfg(test)]").next().unwrap();
        let page = include_str!("../../../../docs/reference/api.md");
        let routes = table.split(".route(").skip(1).map(|rest| {
            let path = rest.split('"').nth(1).unwrap();
            let method = if rest.split('"').nth(2).unwrap().contains("post(") { "POST" } else { "GET" };
            format!("`{method} {path}")
        });
        let routes: Vec<String> = routes.collect();
        assert!(routes.len() > 15, "{routes:?}");
        for route in &routes {
            assert!(
                page.contains(&format!("{route}`")) || page.contains(&format!("{route}?")),
                "{route} is not on the page"
            );
        }
        for written in page.split('`').filter(|code| code.starts_with("GET /") || code.starts_with("POST /")) {
            let path = format!("`{}", written.split('?').next().unwrap());
            assert!(routes.contains(&path), "{written} is not in the table");
        }
    }
}
