//! What all [`Artifacts`] must do, as tests that each adapter runs: see [`artifact_conformance!`].
//!
//! [`artifact_conformance!`]: crate::artifact_conformance

use crate::port::{ArtifactRef, Artifacts, Kind};
use aidt_domain::{Digest, Project};
use bytes::Bytes;

/// The size limit that the suite expects of the store under test: small, so that it is reached.
pub const LIMIT: u64 = 1024 * 1024;

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
