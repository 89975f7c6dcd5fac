//! Where values go that are too large for a row, and workspaces that workers of several hosts share: a folder or a
//! bucket, for each stack a part of its own.

use crate::error::cannot;
use crate::settings::{AdapterSettings, ArtifactsUrl};
use aidt_artifacts::{DEFAULT_LIMIT, ObjectArtifacts};
use aidt_cli::HostError;
use aidt_domain::ErrorCode;
use std::sync::Arc;

/// Opens it, for the thread that asks; `None` where none is set: large values are refused then.
pub(crate) async fn open(settings: &AdapterSettings) -> Result<Option<Arc<ObjectArtifacts>>, HostError> {
    Ok(match &settings.artifacts {
        None => None,
        Some(ArtifactsUrl::File(path)) => {
            let folder = path.join(&settings.prefix);
            let opened = ObjectArtifacts::directory(&folder, DEFAULT_LIMIT);
            let what = || format!("AIDT_ARTIFACTS_URL: {} cannot be used", folder.display());
            Some(Arc::new(opened.map_err(|e| cannot(ErrorCode::Unavailable, what(), e))?))
        }
        Some(ArtifactsUrl::S3(url)) => Some(s3(url, settings).await?),
    })
}

#[cfg(feature = "s3")]
async fn s3(url: &str, settings: &AdapterSettings) -> Result<Arc<ObjectArtifacts>, HostError> {
    use aidt_artifacts_s3::{Keys, Options};
    let s3 = &settings.s3;
    let (Some(access), Some(secret)) = (s3.key.clone(), &s3.secret) else {
        let message = "AIDT_ARTIFACTS_URL is a bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
                       and AWS_ENDPOINT_URL_S3 for another store than AWS";
        return Err(HostError::new(ErrorCode::InvalidArgument, message));
    };
    let token = s3.token.as_ref().map(|t| t.expose().to_owned());
    let keys = Keys { access, secret: secret.expose().to_owned(), token };
    let mut options = Options::new(format!("{url}/{}", settings.prefix), s3.endpoint.clone(), keys);
    if let Some(region) = &s3.region {
        options.region.clone_from(region);
    }
    options.ca.clone_from(&settings.ca);
    let opened = aidt_artifacts_s3::open(&options).await;
    Ok(Arc::new(opened.map_err(|e| cannot(ErrorCode::Unavailable, "AIDT_ARTIFACTS_URL cannot be used", e))?))
}

#[cfg(not(feature = "s3"))]
async fn s3(_: &str, _: &AdapterSettings) -> Result<Arc<ObjectArtifacts>, HostError> {
    Err(crate::adapters::left_out("s3"))
}
