//! The step consumer of this process, and the hub that workers dial in to.

use crate::adapters::Adapters;
use crate::error::cannot;
use aidt_cli::HostError;
use aidt_domain::{Clock, Digest, ErrorCode};
use aidt_grants::RootKeys;
use aidt_plan::Catalogue;
use aidt_policy::ActivePolicy;
use aidt_runtime::Ids;
use aidt_step_consumer::{Admission, Config, Hub, HubConfig, HubDriver, Life, Ports, StepConsumer};
use std::sync::Arc;
use std::time::Duration;

/// What both are made of.
pub(crate) struct StepConsumerParts {
    /// What the process runs, for its row.
    pub(crate) service: String,
    pub(crate) environment: String,
    /// Each of them admits workers.
    pub(crate) tokens: Vec<String>,
    pub(crate) route_key: String,
    /// How long running calls are waited for at the end, and then results that nobody took yet.
    pub(crate) drain: (Duration, Duration),
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) policy: Arc<ActivePolicy>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<Ids>,
}

impl StepConsumerParts {
    /// The hub, and the future that its sessions live in.
    pub(crate) fn hub(&self) -> (Hub, HubDriver) {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&self.ids.bytes::<16>());
        key[16..].copy_from_slice(&self.ids.bytes::<16>());
        let ids = Arc::clone(&self.ids);
        let mut config = HubConfig::new(RootKeys::new(key), Arc::new(move || ids.bytes::<16>()));
        config.route_keys = RootKeys::new(Digest::of(self.route_key.as_bytes()).0);
        config.admission = self.tokens.iter().fold(Admission::nobody(), |admission, token| admission.with(token));
        config.catalogue = self.catalogue.iter().map(|t| (t.name.clone(), t.clone())).collect();
        Hub::new(config, Arc::clone(&self.clock))
    }

    /// The step consumer of that hub.
    pub(crate) fn consumer(self, life: Arc<Life>, hub: &Hub, adapters: Adapters) -> Result<StepConsumer, HostError> {
        let config = Config {
            service: self.service,
            environment: self.environment,
            drain_grace: self.drain.0,
            flush_grace: self.drain.1,
            ..Config::default()
        };
        let Adapters { store, queue, locks } = adapters;
        let ports = Ports { store, queue, locks, workers: hub.line(), policy: self.policy };
        aidt_step_consumer::build(config, life, ports)
            .map_err(|e| cannot(ErrorCode::InvalidArgument, "the step consumer's settings", e))
    }
}
