//! What nothing could be done with.

use crate::client::{Call, Client};
use crate::{ClientError, Page};
use serde_json::{Value, json};

impl Client {
    /// Dead letters, oldest first, after the id given.
    pub async fn dead_letters(&self, after: u64, limit: u32) -> Result<Page<Value>, ClientError> {
        self.json(Call::get("/v1/dead-letters").query("after", after).query("limit", limit)).await
    }

    /// One, with its bytes in base64.
    pub async fn dead_letter(&self, id: u64) -> Result<Value, ClientError> {
        self.json(Call::get(path(id, ""))).await
    }

    /// Sends it once more where it came from, and drops it.
    pub async fn redrive(&self, id: u64) -> Result<Value, ClientError> {
        self.json(Call::post(path(id, "/redrive"), &json!({}))).await
    }

    /// Takes it out for good.
    pub async fn drop_dead_letter(&self, id: u64) -> Result<Value, ClientError> {
        self.json(Call::post(path(id, "/drop"), &json!({}))).await
    }
}

fn path(id: u64, verb: &str) -> String {
    format!("/v1/dead-letters/{id}{verb}")
}
