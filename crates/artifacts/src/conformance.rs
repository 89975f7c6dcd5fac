//! What all [`Artifacts`] must do, as tests that each adapter runs: see [`artifact_conformance!`].
//!
//! [`artifact_conformance!`]: crate::artifact_conformance

use crate::port::{ArtifactRef, Artifacts, Files, Kind};
use aidt_domain::{Digest, Project};
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// The size limit that the suite expects of the store under test: small, so that it is reached.
pub const LIMIT: u64 = 1024 * 1024;

/// Parts of a file that the suite expects to be passed: larger than those of any adapter.
const LARGE: usize = 9 * 1024 * 1024;

/// Makes a test of each function of this module. Given are the test attribute and an expression whose
/// future gives a smart pointer to an empty store with a limit of [`LIMIT`].
///
/// [`LIMIT`]: crate::conformance::LIMIT
#[macro_export]
macro_rules! artifact_conformance {
    (#[$test:meta] $fresh:expr) => {
        $crate::artifact_conformance! { @each #[$test] $fresh;
            bytes_come_back_as_they_were
            the_name_is_the_digest
            storing_twice_is_storing_once
            what_is_not_there_is_not_found
            projects_share_nothing
            the_limit_is_the_limit
            files_come_back_as_they_were
            a_file_is_replaced_as_a_whole
            files_are_found_by_their_own_project_and_name
        }
    };
    (@each #[$test:meta] $fresh:expr; $($name:ident)*) => {
        $(
            #[$test]
            async fn $name() {
                $crate::conformance::$name(&*$fresh.await).await;
            }
        )*
    };
}

fn project(name: &str) -> Project {
    Project::new(name).expect("a project's name")
}

async fn put(artifacts: &dyn Artifacts, to: &Project, bytes: Bytes) -> ArtifactRef {
    artifacts.put(to, bytes).await.expect("put")
}

/// Empty, NUL, all bytes, up to the limit.
pub async fn bytes_come_back_as_they_were(artifacts: &dyn Artifacts) {
    let limit = usize::try_from(LIMIT).expect("a small limit");
    let bodies = [
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from_static(br#"{"lone":"\ud800","big":1e400}"#),
        Bytes::from_iter((0..=u8::MAX).cycle().take(limit)),
    ];
    let project = project("p");
    for body in bodies {
        let stored = put(artifacts, &project, body.clone()).await;
        let back = artifacts.get(&project, &stored.digest).await.expect("get");
        assert_eq!(back.len(), body.len());
        assert!(back == body, "other bytes of the same length");
    }
}

/// Anybody who has the bytes knows the name.
pub async fn the_name_is_the_digest(artifacts: &dyn Artifacts) {
    let stored = put(artifacts, &project("p"), "payload".into()).await;
    assert_eq!(stored, ArtifactRef { digest: Digest::of(b"payload"), len: 7 });
}

/// The second time changes nothing and is no error.
pub async fn storing_twice_is_storing_once(artifacts: &dyn Artifacts) {
    let project = project("p");
    let first = put(artifacts, &project, "payload".into()).await;
    assert_eq!(put(artifacts, &project, "payload".into()).await, first);
    assert_eq!(artifacts.get(&project, &first.digest).await.expect("get"), "payload");
}

/// Not found is told from not available.
pub async fn what_is_not_there_is_not_found(artifacts: &dyn Artifacts) {
    let error = artifacts.get(&project("p"), &Digest::of(b"never")).await.expect_err("not there");
    assert_eq!(error.kind, Kind::NotFound);
}

/// Who knows a digest in one project cannot read it through another.
pub async fn projects_share_nothing(artifacts: &dyn Artifacts) {
    let (ours, theirs) = (project("ours"), project("ours-2"));
    let stored = put(artifacts, &ours, "payload".into()).await;
    let error = artifacts.get(&theirs, &stored.digest).await.expect_err("of another project");
    assert_eq!(error.kind, Kind::NotFound);
}

/// One byte more is refused, and nothing is stored of it.
pub async fn the_limit_is_the_limit(artifacts: &dyn Artifacts) {
    let limit = usize::try_from(LIMIT).expect("a small limit");
    let large = Bytes::from(vec![1; limit + 1]);
    let error = artifacts.put(&project("p"), large.clone()).await.expect_err("over the limit");
    assert_eq!(error.kind, Kind::Invalid);
    let error = artifacts.get(&project("p"), &Digest::of(&large)).await.expect_err("not there");
    assert_eq!(error.kind, Kind::NotFound);
}

/// A folder of this test's own, removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(format!("aidt-files-{process}-{n}-{name}"));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        Self(dir)
    }

    fn with(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Empty, small, more than one part, over the limit of artifacts.
pub async fn files_come_back_as_they_were(files: &dyn Files) {
    let (folder, project) = (Folder::new("back"), project("p"));
    let large: Vec<u8> = (0..=250_u8).cycle().take(LARGE).collect();
    for (name, body) in [("w/empty", &[][..]), ("w/small.1", b"\0\xff"), ("w/r-u_n/large", &large)] {
        let from = folder.with("from", body);
        assert_eq!(files.put_file(&project, name, &from).await.expect("put_file"), body.len() as u64);
        let to = folder.with("to", b"what stood there before");
        assert_eq!(files.get_file(&project, name, &to).await.expect("get_file"), body.len() as u64);
        assert!(std::fs::read(&to).expect("it was written") == body, "other bytes");
    }
}

/// By a shorter one, too.
pub async fn a_file_is_replaced_as_a_whole(files: &dyn Files) {
    let (folder, project) = (Folder::new("replaced"), project("p"));
    for body in ["the first", "2nd"] {
        files.put_file(&project, "name", &folder.with("from", body.as_bytes())).await.expect("put_file");
        let to = folder.with("to", b"");
        files.get_file(&project, "name", &to).await.expect("get_file");
        assert_eq!(std::fs::read_to_string(&to).expect("it was written"), body);
    }
}

/// Not found is told from not available; names that lead elsewhere are refused.
pub async fn files_are_found_by_their_own_project_and_name(files: &dyn Files) {
    let (folder, ours, theirs) = (Folder::new("found"), project("ours"), project("ours-2"));
    let from = folder.with("from", b"ours");
    files.put_file(&ours, "a/b", &from).await.expect("put_file");
    for (project, name) in [(&theirs, "a/b"), (&ours, "a/c"), (&ours, "b")] {
        let error = files.get_file(project, name, &folder.with("to", b"")).await.expect_err("nothing there");
        assert_eq!(error.kind, Kind::NotFound, "{error}");
    }
    for name in ["", "/", "a//b", "../p", "a/..", ".", "a b", "a\0b", "é"] {
        let error = files.put_file(&ours, name, &from).await.expect_err("no name");
        assert_eq!(error.kind, Kind::Invalid, "{name:?}: {error}");
    }
    let error = files.put_file(&ours, "a", &folder.0.join("nothing")).await.expect_err("no such file");
    assert!(error.to_string().contains("nothing"), "{error}");
}
