//! Files in an object store, under `<project>/files/<name>`.

use crate::object::{ObjectArtifacts, failed, from_store};
use crate::port::{ArtifactError, Files, Kind};
use aidt_domain::Project;
use async_trait::async_trait;
use object_store::buffered::BufWriter;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _};
use std::path::Path;
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

/// Parts of an upload, and of a download, unless configured otherwise: what is smaller goes at once.
const PART: usize = 8 * 1024 * 1024;
/// Parts that are on their way at once: memory is this many of them.
const AT_ONCE: usize = 2;
/// Downloads that are begun of what is replaced while it is read.
const TRIES: u32 = 3;

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
        let mut file = File::create(to).await.map_err(|error| local("get_file", to, error))?;
        let mut tries = 1;
        loop {
            match self.download(&key, &mut file).await {
                Ok(len) => return Ok(len),
                Err(Failed::Store(object_store::Error::Precondition { .. })) if tries < TRIES => tries += 1,
                Err(Failed::Store(error)) => {
                    return Err(from_store("get_file", subject(project, name), Kind::Unavailable, error));
                }
                Err(Failed::Disk(error)) => return Err(local("get_file", to, error)),
            }
        }
    }
}

/// Why a download ended.
enum Failed {
    Store(object_store::Error),
    Disk(std::io::Error),
}

impl ObjectArtifacts {
    /// Part after part, all of the same object: a request has a limit in time, and what stands under the name may be
    /// replaced meanwhile.
    async fn download(&self, key: &Key, file: &mut File) -> Result<u64, Failed> {
        file.set_len(0).await.map_err(Failed::Disk)?;
        file.rewind().await.map_err(Failed::Disk)?;
        let meta = self.store.head(key).await.map_err(Failed::Store)?;
        let mut at = 0;
        while at < meta.size {
            let range = at..meta.size.min(at + PART as u64);
            at = range.end;
            let options = GetOptions {
                range: Some(GetRange::Bounded(range)),
                if_match: meta.e_tag.clone(),
                ..GetOptions::default()
            };
            let found = self.store.get_opts(key, options).await.map_err(Failed::Store)?;
            let part = found.bytes().await.map_err(Failed::Store)?;
            file.write_all(&part).await.map_err(Failed::Disk)?;
        }
        file.flush().await.map_err(Failed::Disk)?;
        Ok(at)
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
