//! Both adapters, and what files promise beyond the port.

use super::*;
use crate::port::Files as _;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
    PutResult,
};
use std::fs;
use std::sync::atomic::{AtomicI32, Ordering};

const LIMIT: u64 = crate::conformance::LIMIT;

mod memory {
    use super::*;

    async fn fresh() -> Box<ObjectArtifacts> {
        Box::new(open("memory:", LIMIT).unwrap())
    }

    crate::artifact_conformance!(
        #[tokio::test(start_paused = true)]
        fresh()
    );
}

mod file {
    use super::*;

    /// Keeps the directory as long as the store.
    struct InDirectory(ObjectArtifacts, #[expect(dead_code, reason = "dropped last")] tempfile::TempDir);

    impl std::ops::Deref for InDirectory {
        type Target = ObjectArtifacts;

        fn deref(&self) -> &ObjectArtifacts {
            &self.0
        }
    }

    async fn fresh() -> InDirectory {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file:{}", directory.path().join("made/by open").display());
        InDirectory(open(&url, LIMIT).unwrap(), directory)
    }

    crate::artifact_conformance!(
        #[tokio::test]
        fresh()
    );
}

fn project() -> Project {
    Project::default()
}

#[tokio::test]
async fn files_outlive_the_store_and_lie_where_documented() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}", directory.path().display());
    let stored = open(&url, LIMIT).unwrap().put(&project(), "x".into()).await.unwrap();
    let hex = stored.digest.to_string().replace("sha256:", "");
    let path = directory.path().join("default/sha256").join(&hex[..2]).join(&hex);
    assert_eq!(fs::read(path).unwrap(), b"x");
    let bytes = open(&url, LIMIT).unwrap().get(&project(), &stored.digest).await.unwrap();
    assert_eq!(bytes, "x");
}

#[tokio::test]
async fn a_damaged_file_is_never_given_out_and_storing_mends_it() {
    let directory = tempfile::tempdir().unwrap();
    let artifacts = ObjectArtifacts::directory(directory.path(), LIMIT).unwrap();
    let stored = artifacts.put(&project(), "payload".into()).await.unwrap();
    let path = directory.path().join(key(&project(), &stored.digest).as_ref());
    for damage in [&b"payl"[..], b"", b"pAyload"] {
        fs::write(&path, damage).unwrap();
        let error = artifacts.get(&project(), &stored.digest).await.unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt);
    }
    artifacts.put(&project(), "payload".into()).await.unwrap();
    assert_eq!(artifacts.get(&project(), &stored.digest).await.unwrap(), "payload");
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing but the artifact: {names:?}");
}

#[tokio::test]
async fn a_file_that_grew_over_the_limit_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let large = ObjectArtifacts::directory(directory.path(), 100).unwrap();
    let stored = large.put(&project(), vec![1; 100].into()).await.unwrap();
    let small = ObjectArtifacts::directory(directory.path(), 99).unwrap();
    let error = small.get(&project(), &stored.digest).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "100 bytes are over the limit of 99");
}

#[test]
fn a_url_of_another_kind_is_refused_with_help() {
    for url in ["", "file:", "file", "memory:x", "s3:bucket", "/tmp"] {
        let error = open(url, LIMIT).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{url}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "artifacts are kept under file:DIRECTORY or memory:");
    }
}

#[test]
fn a_directory_that_cannot_be_is_an_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().join("below");
    let error = ObjectArtifacts::directory(&path, LIMIT).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn what_goes_in_parts_is_whole_and_leaves_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let artifacts = ObjectArtifacts::directory(directory.path(), LIMIT).unwrap().in_parts(10);
    for len in [9, 10, 11, 20, 25] {
        let bytes = Bytes::from_iter(0..len);
        let stored = artifacts.put(&project(), bytes.clone()).await.unwrap();
        assert_eq!(artifacts.get(&project(), &stored.digest).await.unwrap(), bytes);
        let path = directory.path().join(key(&project(), &stored.digest).as_ref());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_failed_upload_is_an_error_that_may_be_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let from = directory.path().join("from");
    fs::write(&from, [7; 25]).unwrap();
    let shared = directory.path().join("shared");
    let whole = ObjectArtifacts::directory(&shared, LIMIT).unwrap();
    // What cannot be replaced: the last step fails, when all parts are there.
    let taken = shared.join("default/files/taken");
    fs::create_dir_all(taken.join("by a folder")).unwrap();
    // What cannot be begun.
    fs::write(shared.join("default/files/file"), "").unwrap();
    for files in [whole.clone(), whole.in_parts(10)] {
        for name in ["taken", "file/below"] {
            let error = files.put_file(&project(), name, &from).await.unwrap_err();
            assert_eq!(error.kind, Kind::Unknown, "{name}: {error}");
        }
        fs::remove_dir(taken.join("by a folder")).unwrap();
        fs::remove_dir(&taken).unwrap();
        assert_eq!(files.put_file(&project(), "taken", &from).await.unwrap(), 25);
        fs::remove_file(&taken).unwrap();
        fs::create_dir_all(taken.join("by a folder")).unwrap();
    }
}

/// The first so many who read of it are overtaken by a writer.
#[derive(Debug)]
struct Overtaken(InMemory, AtomicI32);

impl std::fmt::Display for Overtaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("overtaken")
    }
}

#[async_trait]
impl ObjectStore for Overtaken {
    async fn put_opts(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> object_store::Result<PutResult> {
        self.0.put_opts(at, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, opts: GetOptions) -> object_store::Result<GetResult> {
        let found = self.0.get_opts(at, opts).await?;
        if self.1.fetch_sub(1, Ordering::Relaxed) > 0 {
            let next = self.0.get(at).await?.bytes().await?.iter().map(|b| b + 1).collect::<Vec<u8>>();
            self.0.put(at, next.into()).await?;
        }
        Ok(found)
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, opts: CopyOptions) -> object_store::Result<()> {
        self.0.copy_opts(from, to, opts).await
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_meanwhile_is_read_as_it_is_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs::write(&from, vec![0; 9 * 1024 * 1024]).unwrap();
    for times in 0..=5 {
        let files = ObjectArtifacts::new(Arc::new(Overtaken(InMemory::new(), AtomicI32::new(times))), LIMIT);
        files.put_file(&project(), "w", &from).await.unwrap();
        match files.get_file(&project(), "w", &to).await {
            Ok(len) => {
                assert_eq!(len, 9 * 1024 * 1024);
                assert!(fs::read(&to).unwrap().iter().all(|b| i32::from(*b) == times), "two of them, mixed");
            }
            Err(error) => assert!(times >= 3 && error.kind == Kind::Unavailable, "{times}: {error}"),
        }
    }
}
