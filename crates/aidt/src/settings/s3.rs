//! How a bucket is reached, by the variables that every tool of AWS reads.

use super::names;
use super::source::{Secret, Source};
use aidt_cli::HostError;

/// What goes with `s3://…`.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "a folder needs nothing"))]
pub(crate) struct S3Settings {
    /// The server, for all but AWS itself.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    /// The access key's id, and its secret.
    pub(crate) key: Option<String>,
    pub(crate) secret: Option<Secret>,
    /// Of temporary keys.
    pub(crate) token: Option<Secret>,
}

impl S3Settings {
    pub(super) fn read(source: &Source<'_>) -> Result<Self, HostError> {
        Ok(Self {
            endpoint: source.get(names::S3_ENDPOINT)?,
            region: source.get(names::S3_REGION)?,
            key: source.get(names::S3_KEY)?,
            secret: source.get(names::S3_SECRET)?.map(Secret::new),
            token: source.get(names::S3_TOKEN)?.map(Secret::new),
        })
    }
}
