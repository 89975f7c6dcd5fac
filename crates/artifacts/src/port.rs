//! The port.

use aidt_domain::{Digest, Project};
use async_trait::async_trait;
use bytes::Bytes;
use std::path::Path;

/// What a failed operation left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing happened; try again.
    Unavailable,
    /// It may have happened; doing it again is harmless.
    Unknown,
    /// There is no such artifact in this project.
    NotFound,
    /// The request can never succeed: over the size limit, or a URL that names no store.
    Invalid,
    /// What is stored are not the bytes that the digest names.
    Corrupt,
}

/// A failed operation.
#[derive(Debug, thiserror::Error)]
#[error("artifact operation {operation} failed for {subject} ({kind:?})")]
pub struct ArtifactError {
    /// The operation, e.g. `put`.
    pub operation: &'static str,
    /// The artifact as `project/digest`, its project, or the URL.
    pub subject: String,
    /// What it left behind.
    pub kind: Kind,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Names a stored artifact within its project: what a message carries in place of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArtifactRef {
    /// Its content address.
    pub digest: Digest,
    /// Its length in bytes.
    pub len: u64,
}

/// A store of artifacts.
#[async_trait]
pub trait Artifacts: std::fmt::Debug + Send + Sync {
    /// Stores bytes; once it returns they are durable. Cancel safe in that doing it again is harmless.
    async fn put(&self, project: &Project, bytes: Bytes) -> Result<ArtifactRef, ArtifactError>;

    /// Reads an artifact whole, and checks it. Cancel safe.
    async fn get(&self, project: &Project, digest: &Digest) -> Result<Bytes, ArtifactError>;
}

/// Files under names of the caller's: what one host leaves there for another to go on with. They may be
/// larger than memory. Names are words of letters, digits, `.`, `_` and `-`, with `/` between them.
#[async_trait]
pub trait Files: std::fmt::Debug + Send + Sync {
    /// Stores the content of a file, in place of what stood under the name; once it returns it is durable,
    /// and until then nobody sees any of it. Answers its length in bytes.
    async fn put_file(&self, project: &Project, name: &str, from: &Path) -> Result<u64, ArtifactError>;

    /// Writes what stands under the name into a new file, or one that is replaced. Answers its length.
    /// After an error, whatever is in the file is worthless.
    async fn get_file(&self, project: &Project, name: &str, to: &Path) -> Result<u64, ArtifactError>;
}
