//! Artifacts in an object store.

use crate::port::{ArtifactError, ArtifactRef, Artifacts, Kind};
use aidt_domain::{Digest, Project};
use async_trait::async_trait;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{MultipartUpload as _, ObjectStore, ObjectStoreExt as _, PutPayload};
use std::sync::Arc;

/// The largest artifact, unless configured otherwise: 64 MiB. Artifacts are read whole into memory.
pub const DEFAULT_LIMIT: u64 = 64 * 1024 * 1024;

/// What is smaller is digested at once: it takes about a millisecond.
const AT_ONCE: usize = 1024 * 1024;

/// [`Artifacts`] over any object store that replaces an object atomically. An object's key is
/// `<project>/sha256/<2 hex digits>/<64 hex digits>`.
#[derive(Clone, Debug)]
pub struct ObjectArtifacts {
    pub(crate) store: Arc<dyn ObjectStore>,
    limit: u64,
    /// What is larger goes in parts of this size.
    pub(crate) part: Option<usize>,
}

/// Opens the store that a URL names: `memory:`, or `file:DIRECTORY` (also `file:///DIRECTORY`), which is
/// made if it is not there. The path stands as it is, without percent-encoding. `limit` is the largest
/// artifact, in bytes.
///
/// Blocks on the file system for a moment: for start-up.
pub fn open(url: &str, limit: u64) -> Result<ObjectArtifacts, ArtifactError> {
    match url.split_once(':') {
        Some(("memory", "")) => Ok(ObjectArtifacts::memory(limit)),
        Some(("file", path)) if !path.is_empty() => {
            let path = path.strip_prefix("//").unwrap_or(path);
            ObjectArtifacts::directory(std::path::Path::new(path), limit)
        }
        _ => {
            let help = "artifacts are kept under file:DIRECTORY or memory:";
            Err(failed("open", url.to_owned(), Kind::Invalid, Some(help.into())))
        }
    }
}

impl ObjectArtifacts {
    /// Over an object store.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, limit: u64) -> Self {
        Self { store, limit, part: None }
    }

    /// Uploads what is larger than this in parts of this size, in bytes, which the store shows together.
    #[must_use]
    pub fn in_parts(self, size: usize) -> Self {
        Self { part: Some(size), ..self }
    }

    /// In this process's memory.
    #[must_use]
    pub fn memory(limit: u64) -> Self {
        Self::new(Arc::new(InMemory::new()), limit)
    }

    /// In a directory: each artifact is written beside its place, flushed to disk and renamed, so a
    /// crash leaves all of it or nothing (and perhaps a `…#1` that nobody reads).
    pub fn directory(path: &std::path::Path, limit: u64) -> Result<Self, ArtifactError> {
        let invalid = |source: Box<dyn std::error::Error + Send + Sync>| {
            failed("open", path.display().to_string(), Kind::Invalid, Some(source))
        };
        std::fs::create_dir_all(path).map_err(|error| invalid(error.into()))?;
        let store = LocalFileSystem::new_with_prefix(path).map_err(|error| invalid(error.into()))?;
        Ok(Self::new(Arc::new(store.with_fsync(true)), limit))
    }

    async fn put_parts(&self, key: &Path, bytes: &Bytes, part: usize) -> object_store::Result<()> {
        let mut upload = self.store.put_multipart(key).await?;
        let mut uploaded = Ok(());
        for start in (0..bytes.len()).step_by(part) {
            let slice = bytes.slice(start..bytes.len().min(start + part));
            uploaded = upload.put_part(PutPayload::from_bytes(slice)).await;
            if uploaded.is_err() {
                break;
            }
        }
        let uploaded = match uploaded {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => Err(error),
        };
        if uploaded.is_err() {
            // What cannot be removed now the store's own rule for incomplete uploads removes.
            let _ = upload.abort().await;
        }
        uploaded
    }

    fn check_size(
        &self,
        len: u64,
        operation: &'static str,
        subject: impl FnOnce() -> String,
    ) -> Result<(), ArtifactError> {
        if len <= self.limit {
            return Ok(());
        }
        let cause = format!("{len} bytes are over the limit of {}", self.limit);
        Err(failed(operation, subject(), Kind::Invalid, Some(cause.into())))
    }
}

#[async_trait]
impl Artifacts for ObjectArtifacts {
    async fn put(&self, project: &Project, bytes: Bytes) -> Result<ArtifactRef, ArtifactError> {
        let len = bytes.len() as u64;
        // Before its digest: that of something huge would take a while.
        self.check_size(len, "put", || project.to_string())?;
        let digest = digest_of("put", project, &bytes).await?;
        // Overwrites, with the same bytes: that also mends a copy that a failing disk has damaged.
        let key = key(project, &digest);
        let stored = match self.part {
            Some(part) if bytes.len() > part => self.put_parts(&key, &bytes, part).await,
            _ => self.store.put(&key, PutPayload::from_bytes(bytes)).await.map(drop),
        };
        stored.map_err(|error| from_store("put", subject(project, &digest), Kind::Unknown, error))?;
        Ok(ArtifactRef { digest, len })
    }

    async fn get(&self, project: &Project, digest: &Digest) -> Result<Bytes, ArtifactError> {
        let failed_in_store = |error| from_store("get", subject(project, digest), Kind::Unavailable, error);
        let found = self.store.get(&key(project, digest)).await.map_err(failed_in_store)?;
        self.check_size(found.meta.size, "get", || subject(project, digest))?;
        let bytes = found.bytes().await.map_err(failed_in_store)?;
        let actual = digest_of("get", project, &bytes).await?;
        if actual != *digest {
            let cause = format!("its {} bytes have the digest {actual}", bytes.len());
            let kind = Kind::Corrupt;
            return Err(failed("get", subject(project, digest), kind, Some(cause.into())));
        }
        Ok(bytes)
    }
}

/// What is large is digested beside the thread that asks, which has others to serve.
async fn digest_of(operation: &'static str, project: &Project, bytes: &Bytes) -> Result<Digest, ArtifactError> {
    if bytes.len() < AT_ONCE {
        return Ok(Digest::of(bytes));
    }
    let bytes = bytes.clone();
    let digested = tokio::task::spawn_blocking(move || Digest::of(&bytes)).await;
    digested.map_err(|error| failed(operation, project.to_string(), Kind::Unavailable, Some(error.into())))
}

fn key(project: &Project, digest: &Digest) -> Path {
    let name = digest.to_string();
    let hex = name.strip_prefix("sha256:").expect("a digest is written so");
    Path::from_iter([project.as_str(), "sha256", &hex[..2], hex])
}

fn subject(project: &Project, digest: &Digest) -> String {
    format!("{project}/{digest}")
}

pub(crate) fn failed(
    operation: &'static str,
    subject: String,
    kind: Kind,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> ArtifactError {
    ArtifactError { operation, subject, kind, source }
}

/// `otherwise`: what an error means that does not say by itself.
pub(crate) fn from_store(
    operation: &'static str,
    subject: String,
    otherwise: Kind,
    error: object_store::Error,
) -> ArtifactError {
    use object_store::Error as E;
    let kind = match error {
        E::NotFound { .. } => Kind::NotFound,
        E::InvalidPath { .. } | E::NotSupported { .. } | E::NotImplemented { .. } => Kind::Invalid,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Kind::Unavailable,
        _ => otherwise,
    };
    failed(operation, subject, kind, Some(error.into()))
}

#[cfg(test)]
mod tests;
