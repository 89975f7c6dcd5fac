//! Files in an object store, under `<project>/files/<name>`.

use crate::object::{ObjectArtifacts, failed, from_store};
use crate::port::{ArtifactError, Files, Kind};
use aidt_domain::Project;
use async_trait::async_trait;
use object_store::ObjectStoreExt as _;
use object_store::buffered::{BufReader, BufWriter};
use object_store::path::Path as Key;
use std::path::Path;
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

/// Parts of an upload, and of a download, unless configured otherwise: what is smaller goes at once.
const PART: usize = 8 * 1024 * 1024;
/// Parts that are on their way at once: memory is this many of them.
const AT_ONCE: usize = 2;

#[async_trait]
impl Files for ObjectArtifacts {
    async fn put_file(&self, project: &Project, name: &str, from: &Path) -> Result<u64, ArtifactError> {
        let key = key("put_file", project, name)?;
        let mut file = File::open(from).await.map_err(|error| local("put_file", from, error))?;
        let part = self.part.unwrap_or(PART);
        let mut upload = BufWriter::with_capacity(Arc::clone(&self.store), key, part).with_max_concurrency(AT_ONCE);
        let uploaded = match tokio::io::copy(&mut file, &mut upload).await {
            // From here on the writer aborts by itself what it cannot finish, and may not be asked to.
            Ok(len) => upload.shutdown().await.map(|()| len),
            Err(error) => {
                // What cannot be removed now the store's own rule for incomplete uploads removes.
                let _ = upload.abort().await;
                Err(error)
            }
        };
        uploaded.map_err(|error| failed("put_file", subject(project, name), Kind::Unknown, Some(error.into())))
    }

    async fn get_file(&self, project: &Project, name: &str, to: &Path) -> Result<u64, ArtifactError> {
        let key = key("get_file", project, name)?;
        let failed_in_store = |error| from_store("get_file", subject(project, name), Kind::Unavailable, error);
        let meta = self.store.head(&key).await.map_err(failed_in_store)?;
        let mut file = File::create(to).await.map_err(|error| local("get_file", to, error))?;
        let mut download = BufReader::with_capacity(Arc::clone(&self.store), &meta, PART);
        let copied = match tokio::io::copy_buf(&mut download, &mut file).await {
            Ok(len) => file.flush().await.map(|()| len),
            Err(error) => Err(error),
        };
        let len = copied
            .map_err(|error| failed("get_file", subject(project, name), Kind::Unavailable, Some(error.into())))?;
        if len != meta.size {
            let cause = format!("{len} of its {} bytes came", meta.size);
            return Err(failed("get_file", subject(project, name), Kind::Unavailable, Some(cause.into())));
        }
        Ok(len)
    }
}

fn key(operation: &'static str, project: &Project, name: &str) -> Result<Key, ArtifactError> {
    let is_word = |word: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        !word.is_empty() && word.chars().all(plain) && !word.chars().all(|c| c == '.')
    };
    if !name.split('/').all(is_word) {
        let help = "a file's name is words of letters, digits, '.', '_' and '-', with '/' between them";
        return Err(failed(operation, subject(project, name), Kind::Invalid, Some(help.into())));
    }
    Ok(Key::from_iter([project.as_str(), "files"].into_iter().chain(name.split('/'))))
}

fn subject(project: &Project, name: &str) -> String {
    format!("{project}/{name}")
}

/// The file on this host's disk.
fn local(operation: &'static str, path: &Path, error: std::io::Error) -> ArtifactError {
    failed(operation, path.display().to_string(), Kind::Unavailable, Some(error.into()))
}
