//! What can be set on the hub.

use super::Admission;
use aidt_domain::ToolEntry;
use aidt_grants::RootKeys;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Settings of the hub.
#[derive(Clone)]
pub struct HubConfig {
    /// Which tokens let a worker in.
    pub admission: Admission,
    /// The operator's catalogue, by name: what a worker announces is checked against it.
    pub catalogue: BTreeMap<String, ToolEntry>,
    /// The root of all session keys. Embedded: random per process.
    pub keys: RootKeys,
    /// What routes are sealed with. A result of a call that an earlier process sent is believed only if
    /// this is the key that it had; keep it over restarts (with [`HubConfig::keys`] there is no need to).
    pub route_keys: RootKeys,
    /// Draws the nonce of a session: random, never twice the same.
    pub nonce: Arc<dyn Fn() -> [u8; 16] + Send + Sync>,
    /// A ping comes this often; after three that were not answered the worker is lost.
    pub ping_every: Duration,
    /// How long a worker has to say hello.
    pub hello_within: Duration,
    /// How long a lost worker is waited for, from the end of its stream or since it fell silent, before its calls
    /// count as lost.
    pub reconnect_grace: Duration,
    /// What a worker may print and report, in bytes a second.
    pub text_rate: u32,
    /// What it may print and report at once, in bytes.
    pub text_burst: u32,
    /// Most sessions at once.
    pub max_sessions: usize,
}

impl HubConfig {
    /// The protocol's numbers, nobody admitted, no tool known.
    #[must_use]
    pub fn new(keys: RootKeys, nonce: Arc<dyn Fn() -> [u8; 16] + Send + Sync>) -> Self {
        Self {
            admission: Admission::nobody(),
            catalogue: BTreeMap::new(),
            route_keys: keys.clone(),
            keys,
            nonce,
            ping_every: Duration::from_secs(3),
            hello_within: Duration::from_secs(5),
            reconnect_grace: Duration::from_secs(10),
            text_rate: 4 * 1024 * 1024,
            text_burst: 8 * 1024 * 1024,
            max_sessions: 4096,
        }
    }
}

impl std::fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubConfig")
            .field("admission", &self.admission)
            .field("tools", &self.catalogue.len())
            .field("ping_every", &self.ping_every)
            .field("reconnect_grace", &self.reconnect_grace)
            .finish_non_exhaustive()
    }
}
