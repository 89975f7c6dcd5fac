//! From options to a store that has been seen to answer.

use crate::options::{Options, OptionsError};
use aidt_artifacts::{ArtifactError, Kind, ObjectArtifacts};
use object_store_aws::aws::{AmazonS3, AmazonS3Builder};
use object_store_aws::path::Path;
use object_store_aws::prefix::PrefixStore;
use object_store_aws::{Certificate, ClientOptions, Error, ObjectStore, ObjectStoreExt as _, RetryConfig};
use std::sync::Arc;
use std::time::Duration;

/// What is larger goes in parts of this size; S3 takes no smaller ones than 5 MiB.
const PART: usize = 8 * 1024 * 1024;

/// Tries after the first, and how long after the first none is begun any more: whoever calls has a
/// time-out and a retry of its own.
const RETRIES: (usize, Duration) = (3, Duration::from_secs(15));

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a bucket, and asks it for an object that is not there: keys that are refused, a bucket that does
/// not exist and a server that does not answer are told here, not by the first artifact.
///
/// The keys need `s3:GetObject`, `s3:PutObject` and `s3:AbortMultipartUpload` under the prefix, and
/// `s3:ListBucket`: without that, S3 does not tell what is absent from what is forbidden.
///
/// # Errors
/// `Invalid` for options that can never work, as things are; `Unavailable` for what may change by itself.
pub async fn open(options: &Options) -> Result<ObjectArtifacts, ArtifactError> {
    let (artifacts, bucket) = open_unasked(options)?;
    bucket.ask().await?;
    Ok(artifacts)
}

/// Opens a bucket that need not answer yet, with what asks it. Sends nothing.
///
/// # Errors
/// `Invalid` for options that can never work.
pub fn open_unasked(options: &Options) -> Result<(ObjectArtifacts, Bucket), ArtifactError> {
    let refused = |error: OptionsError| failed(&options.url, Kind::Invalid, error);
    let (bucket, prefix) = options.place().map_err(refused)?;
    options.check_endpoint().map_err(refused)?;
    let store = build(options, bucket).map_err(|error| failed(&options.url, Kind::Invalid, error))?;
    let store: Arc<dyn ObjectStore> = match prefix {
        "" => Arc::new(store),
        prefix => {
            let prefix = Path::parse(prefix).map_err(|error| failed(&options.url, Kind::Invalid, error))?;
            Arc::new(PrefixStore::new(store, prefix))
        }
    };
    let artifacts = ObjectArtifacts::new(Arc::clone(&store), options.limit).in_parts(PART);
    Ok((artifacts, Bucket { store, url: options.url.clone() }))
}

/// A bucket that can be asked whether it is there.
#[derive(Clone, Debug)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    url: String,
}

impl Bucket {
    /// Asks for an object that is not there. Cancel safe.
    ///
    /// # Errors
    /// `Invalid` for a bucket or keys that do not exist, as things are; `Unavailable` for what may change by itself.
    pub async fn ask(&self) -> Result<(), ArtifactError> {
        check(&*self.store, &self.url).await
    }
}

fn build(options: &Options, bucket: &str) -> Result<AmazonS3, Error> {
    let mut client = ClientOptions::new()
        .with_allow_http(options.endpoint.as_ref().is_some_and(|e| e.starts_with("http:")))
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(options.request_timeout);
    if let Some(ca) = &options.ca {
        for certificate in Certificate::from_pem_bundle(ca.as_bytes())? {
            client = client.with_root_certificate(certificate);
        }
    }
    let retry = RetryConfig { max_retries: RETRIES.0, retry_timeout: RETRIES.1, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&options.region)
        .with_access_key_id(&options.keys.access)
        .with_secret_access_key(&options.keys.secret)
        .with_virtual_hosted_style_request(options.virtual_hosted)
        .with_client_options(client)
        .with_retry(retry);
    if let Some(token) = &options.keys.token {
        builder = builder.with_token(token);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    builder.build()
}

async fn check(store: &dyn ObjectStore, url: &str) -> Result<(), ArtifactError> {
    let answer = store.get(&Path::from("aidt-never-there")).await;
    let keys = "the keys are refused: check them, the region, and that they may read, write and list";
    let (kind, help) = match answer.as_ref().err() {
        None => return Ok(()),
        Some(error @ Error::NotFound { .. }) if says(error, "NoSuchBucket") => {
            (Kind::Invalid, "there is no such bucket: create it, or mend the URL")
        }
        Some(error @ Error::NotFound { .. }) if says(error, "NoSuchKey") => return Ok(()),
        // Some servers have the status of what is absent for keys that they do not know.
        Some(Error::NotFound { .. } | Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) => {
            (Kind::Invalid, keys)
        }
        Some(_) => (Kind::Unavailable, "the storage does not answer: check the endpoint, and that it runs"),
    };
    Err(failed(url, kind, Refused { help, source: answer.err() }))
}

/// Whether an error or one of its causes says this.
fn says(error: &Error, code: &str) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if error.to_string().contains(code) {
            return true;
        }
        next = error.source();
    }
    false
}

/// What to do, and what was answered.
#[derive(Debug, thiserror::Error)]
#[error("{help}")]
struct Refused {
    help: &'static str,
    source: Option<Error>,
}

fn failed(url: &str, kind: Kind, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ArtifactError {
    ArtifactError { operation: "open", subject: url.to_owned(), kind, source: Some(source.into()) }
}
