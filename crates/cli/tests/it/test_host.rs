//! A host that embeds nothing.

use aidt_bench::Bed;
use aidt_cli::{BenchOn, Embed, Host, HostError, Serve, Serving};
use aidt_client::Endpoint;
use aidt_domain::{ErrorCode, RunId, ToolEntry};
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::sync::CancellationToken;

/// Points at whatever server a test lets it point at.
pub(crate) struct TestHost {
    endpoint: Mutex<Endpoint>,
    notice: Mutex<Option<String>>,
    pub(crate) embeds: Mutex<Vec<Embed>>,
    pub(crate) closed: AtomicU32,
}

impl TestHost {
    pub(crate) fn at(endpoint: &Endpoint) -> Self {
        Self {
            endpoint: Mutex::new(endpoint.clone()),
            notice: Mutex::default(),
            embeds: Mutex::default(),
            closed: AtomicU32::new(0),
        }
    }

    /// Another process serves from now on, or this one embeds and says so.
    pub(crate) fn hand_over(&self, endpoint: &Endpoint, notice: &str) {
        *self.endpoint.lock().unwrap() = endpoint.clone();
        *self.notice.lock().unwrap() = Some(notice.to_owned());
    }
}

#[async_trait]
impl Host for TestHost {
    async fn endpoint(&self, embed: &Embed) -> Result<Endpoint, HostError> {
        self.embeds.lock().unwrap().push(embed.clone());
        Ok(embed.server.clone().unwrap_or_else(|| self.endpoint.lock().unwrap().clone()))
    }

    fn embedded_notice(&self) -> Option<String> {
        self.notice.lock().unwrap().take()
    }

    async fn close(&self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }

    async fn serve(
        &self,
        options: &Serve,
        stop: CancellationToken,
        ready: &(dyn for<'a> Fn(&'a Serving) + Send + Sync),
    ) -> Result<(), HostError> {
        let listen = options.listen.map_or_else(|| "127.0.0.1:7070".to_owned(), |address| address.to_string());
        let services = options.services.clone();
        ready(&Serving { services, endpoint: Endpoint::Tcp(listen), with: vec![("store", "sqlite:/x".to_owned())] });
        stop.cancelled().await;
        Ok(())
    }

    fn catalogue(&self, _: Option<&Path>) -> Result<Vec<ToolEntry>, HostError> {
        let entry = serde_json::json!({
            "name": "debug.echo", "pool": "debug", "capability": "debug", "effect": "read",
            "input_schema": { "type": "object", "properties": { "value": {} }, "required": ["value"] },
        });
        Ok(vec![serde_json::from_value(entry).unwrap()])
    }

    fn workspace(&self, run: RunId) -> Option<PathBuf> {
        Some(PathBuf::from(format!("/srv/aidt/workspaces/{run}.git")))
    }

    fn random_key(&self) -> String {
        "a-key".to_owned()
    }

    fn bed(&self, _: &BenchOn) -> Result<Box<dyn Bed>, HostError> {
        Err(HostError::new(ErrorCode::InvalidArgument, "this host has no bed"))
    }
}
