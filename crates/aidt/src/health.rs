//! How this process is: why it is not ready, and what is worth saying though it is.

use crate::adapters::Adapters;
use crate::artifacts::Opened;
use crate::error::shown;
use crate::tool_worker::WorkersView;
use aidt_cli::Service;
use aidt_completion_consumer::Handle as OwnerHandle;
use aidt_domain::{ProcessId, share_of};
use aidt_step_consumer::Hub;
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// A process is dead this long after its last heartbeat (protocol.md §6).
const DEAD_AFTER_MS: u64 = 4_000;
/// The text format of Prometheus.
const METRICS_TYPE: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
/// How often adapters are asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long one may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What can be said of this process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Health(Arc<Parts>);

/// What is looked at. What does not run here is `None`.
pub(crate) struct Parts {
    pub(crate) process: ProcessId,
    pub(crate) services: Vec<Service>,
    /// Asked each second. A tool worker alone has none.
    pub(crate) adapters: Option<Adapters>,
    pub(crate) owner: Option<OwnerHandle>,
    pub(crate) hub: Option<Hub>,
    pub(crate) workers: Option<WorkersView>,
    /// Asked until it has answered once.
    pub(crate) artifacts: Option<Opened>,
    pub(crate) state: Mutex<State>,
}

/// What was found.
#[derive(Default)]
pub(crate) struct State {
    /// Services that ended.
    ended: Vec<String>,
    store: Option<String>,
    queue: Option<String>,
    locks: Option<String>,
    /// Live owners, this one maybe among them.
    owners: Vec<ProcessId>,
    partitions: u16,
    draining: bool,
}

impl Health {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// A service ended that should not.
    pub(crate) fn ended(&self, why: String) {
        self.state().ended.push(why);
    }

    /// It takes nothing new any more.
    pub(crate) fn draining(&self) {
        self.state().draining = true;
    }

    /// Why it is not ready; nothing when it is.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let state = self.state();
        let mut reasons = state.ended.clone();
        if state.draining {
            reasons.push("draining".to_owned());
        }
        reasons.extend(state.store.iter().cloned());
        reasons.extend(state.queue.iter().filter(|_| self.needs_queue()).cloned());
        if let Some(owner) = &self.0.owner {
            let status = owner.status();
            let share = share_of(self.0.process, &state.owners, state.partitions);
            let missing = share.difference(&status.held).count();
            if missing > 0 || state.partitions == 0 {
                let (held, share) = (share.len() - missing, share.len());
                reasons.push(format!("completion-consumer holds {held} of its {share} partitions"));
            }
            reasons.extend(status.trouble);
        }
        reasons.extend(self.0.workers.iter().filter_map(WorkersView::serves_nothing));
        if let Some(workers) = self.0.workers.as_ref().filter(|w| !w.is_connected()) {
            let trouble = workers.troubles().into_iter().next();
            let trouble = trouble.unwrap_or_else(|| "not dialled yet".to_owned());
            reasons.push(format!("tool-worker is connected to no step consumer: {trouble}"));
        }
        reasons
    }

    /// A gateway accepts into the inbox, and a nudge that is not carried costs a second (protocol.md §3).
    fn needs_queue(&self) -> bool {
        self.0.services.iter().any(|s| matches!(s, Service::CompletionConsumer | Service::StepConsumer))
    }

    /// What does not keep it from working.
    pub(crate) fn notes(&self) -> Vec<String> {
        let state = self.state();
        let mut notes: Vec<String> = state.locks.iter().cloned().collect();
        notes.extend(state.queue.iter().filter(|_| !self.needs_queue()).cloned());
        drop(state);
        if let Some(hub) = &self.0.hub
            && !hub.workers().iter().any(|w| w.connected)
        {
            notes.push("step-consumer: no worker is connected, so nothing is taken".to_owned());
        }
        notes.extend(self.0.workers.iter().flat_map(WorkersView::troubles));
        notes.extend(self.0.artifacts.iter().filter_map(Opened::trouble));
        notes
    }

    /// Asks the adapters, once.
    pub(crate) async fn ask(&self) {
        let Some(Adapters { store, queue, locks }) = &self.0.adapters else { return };
        let live = answer("the store", store.processes.live(DEAD_AFTER_MS));
        let incarnation = answer("the queue", queue.incarnation());
        let (name, holder) = (format!("ready/{}", self.0.process), self.0.process.to_string());
        let lease = answer("the locks", locks.lease(&name, &holder, 2 * ASK_EVERY));
        let (live, incarnation, lease) = tokio::join!(live, incarnation, lease);
        let mut state = self.state();
        state.partitions = store.run_log.partitions();
        state.queue = incarnation.err();
        state.locks = lease.err();
        match live {
            Ok((rows, _)) => {
                let owner = Service::CompletionConsumer.name();
                let owners = rows.iter().filter(|row| row.service.split(',').any(|s| s == owner));
                state.owners = owners.map(|row| row.id).collect();
                state.store = None;
            }
            Err(why) => state.store = Some(why),
        }
    }

    /// Asks the adapters for as long as it is polled.
    pub(crate) async fn keep_asking(self) {
        let mut ticks = tokio::time::interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let artifacts = async {
                if let Some(opened) = &self.0.artifacts {
                    opened.ask_again().await;
                }
            };
            tokio::join!(self.ask(), artifacts);
        }
    }

    /// `/health`, `/ready` and `/metrics`, for a process without a gateway.
    pub(crate) fn router(&self) -> Router {
        let health = self.clone();
        Router::new()
            .route("/health", get(async || Json(json!({"status": "ok"}))))
            .route("/ready", get(async move || health.answer()))
            .route("/metrics", get(async || (METRICS_TYPE, aidt_telemetry::metrics_text())))
    }

    fn answer(&self) -> (StatusCode, Json<Value>) {
        let reasons = self.reasons();
        let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let services: Vec<&str> = self.0.services.iter().map(|s| s.name()).collect();
        let mut body = json!({
            "ready": reasons.is_empty(), "reasons": reasons, "notes": self.notes(), "services": services,
        });
        if let Some(owner) = &self.0.owner {
            body["partitions"] = owner.status().held.len().into();
        }
        (status, Json(body))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer<T, E: std::error::Error + 'static>(
    what: &str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{what}: {}", shown(&error))),
        Err(_) => Err(format!("{what} does not answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn health(services: &[Service]) -> Health {
        let process = ProcessId(Uuid::nil());
        let (services, state) =
            (services.to_vec(), State { queue: Some("the queue: gone".to_owned()), ..State::default() });
        let state = Mutex::new(state);
        Health::new(Parts {
            process,
            services,
            adapters: None,
            owner: None,
            hub: None,
            workers: None,
            artifacts: None,
            state,
        })
    }

    #[test]
    fn a_gateway_is_ready_without_the_queue_and_who_lives_by_it_is_not() {
        let gateway = health(&[Service::Gateway]);
        assert_eq!((gateway.reasons(), gateway.notes()), (Vec::new(), vec!["the queue: gone".to_owned()]));
        for service in [Service::CompletionConsumer, Service::StepConsumer] {
            let health = health(&[Service::Gateway, service]);
            assert_eq!((health.reasons(), health.notes()), (vec!["the queue: gone".to_owned()], Vec::new()));
        }
    }
}
