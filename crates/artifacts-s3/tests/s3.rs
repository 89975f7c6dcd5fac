//! The adapter against a real server.
//!
//! `AIDT_TEST_S3_URL` is `http://host:port/bucket`, the bucket being there; `AIDT_TEST_S3_KEYS` is
//! `access:secret`.

#![expect(clippy::unwrap_used, reason = "a test may panic, and says where")]

use aidt_artifacts::conformance::LIMIT;
use aidt_artifacts::{ArtifactError, Artifacts, Kind, ObjectArtifacts};
use aidt_artifacts_s3::{Keys, Options, open};
use aidt_domain::{Digest, Project};
use bytes::Bytes;
use std::error::Error;

const MIB: usize = 1024 * 1024;

#[expect(clippy::disallowed_methods, reason = "a test that needs a server is told where it is")]
fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests by `cargo xtask interop`, or start an S3 server and export it")
    })
}

/// Under a prefix that no other test, and no other run of this one, uses.
#[expect(clippy::disallowed_methods, reason = "any prefix will do, if it is new")]
fn options() -> Options {
    let url = setting("AIDT_TEST_S3_URL");
    let (endpoint, bucket) = url.rsplit_once('/').unwrap();
    let keys = setting("AIDT_TEST_S3_KEYS");
    let (access, secret) = keys.split_once(':').unwrap();
    let keys = Keys { access: access.to_owned(), secret: secret.to_owned(), token: None };
    let url = format!("s3://{bucket}/test/{}", uuid::Uuid::new_v4().simple());
    Options { limit: LIMIT, ..Options::new(url, Some(endpoint.to_owned()), keys) }
}

mod conformance {
    use super::*;

    async fn fresh() -> Box<ObjectArtifacts> {
        Box::new(open(&options()).await.unwrap())
    }

    aidt_artifacts::artifact_conformance!(
        #[tokio::test]
        fresh()
    );
}

fn project() -> Project {
    Project::default()
}

/// Bytes that differ from part to part.
fn large(len: usize) -> Bytes {
    (0..len).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

#[tokio::test]
async fn large_ones_go_in_parts_and_come_back() {
    let options = Options { limit: 64 * MIB as u64, ..options() };
    let artifacts = open(&options).await.unwrap();
    // At, just over, and far over the size of a part.
    for len in [8 * MIB, 8 * MIB + 1, 21 * MIB] {
        let bytes = large(len);
        let stored = artifacts.put(&project(), bytes.clone()).await.unwrap();
        assert_eq!((stored.digest, stored.len), (Digest::of(&bytes), len as u64));
        assert!(artifacts.get(&project(), &stored.digest).await.unwrap() == bytes, "{len}");
    }
}

#[tokio::test]
async fn many_writers_of_the_same_do_no_harm() {
    let options = Options { limit: 64 * MIB as u64, ..options() };
    for bytes in [large(1000), large(9 * MIB)] {
        let (one, two) = (open(&options).await.unwrap(), open(&options).await.unwrap());
        let project = project();
        let writers = [&one, &two, &one, &two].map(|store| store.put(&project, bytes.clone()));
        let stored = futures::future::try_join_all(writers).await.unwrap();
        assert!(stored.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(two.get(&project, &stored[0].digest).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn another_process_and_only_the_same_prefix_finds_it() {
    let ours = options();
    let stored = open(&ours).await.unwrap().put(&project(), "payload".into()).await.unwrap();
    let again = open(&ours).await.unwrap();
    assert_eq!(again.get(&project(), &stored.digest).await.unwrap(), "payload");
    let theirs = Options { url: format!("{}-2", ours.url), ..ours };
    let error = open(&theirs).await.unwrap().get(&project(), &stored.digest).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
}

/// The whole chain of causes.
fn told(error: &ArtifactError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[tokio::test]
async fn refused_keys_are_told() {
    for (access, secret) in [("nobody", None), ("", Some("wrong"))] {
        let mut options = options();
        if access == "nobody" {
            options.keys.access = access.to_owned();
        }
        options.keys.secret = secret.map_or(options.keys.secret, str::to_owned);
        let error = open(&options).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{}", told(&error));
        assert!(told(&error).contains("keys are refused"), "{}", told(&error));
    }
}

#[tokio::test]
async fn a_missing_bucket_is_told() {
    let options = Options { url: "s3://aidt-no-such-bucket/x".to_owned(), ..options() };
    let error = open(&options).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{}", told(&error));
    assert!(told(&error).contains("no such bucket"), "{}", told(&error));
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_told() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = Options { endpoint: Some(format!("http://127.0.0.1:{port}")), ..options() };
    let error = open(&options).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{}", told(&error));
    assert!(told(&error).contains("does not answer"), "{}", told(&error));
}
