//! Where values go that are too large for a row, and workspaces that workers of several hosts share: a folder or a
//! bucket, for each stack a part of its own.

use crate::error::{cannot, shown};
use crate::settings::{AdapterSettings, ArtifactsUrl};
use aidt_artifacts::{ArtifactError, DEFAULT_LIMIT, Kind, ObjectArtifacts};
use aidt_cli::HostError;
use aidt_domain::ErrorCode;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long one that is opened may take to answer before the start goes on without it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Asks a store whether it is there.
type Ask = Box<dyn Fn() -> BoxFuture<'static, Result<(), ArtifactError>> + Send + Sync>;

/// A store that is opened. It need not answer: only some steps need it, and it may come back.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) artifacts: Arc<ObjectArtifacts>,
    away: Arc<Away>,
}

struct Away {
    ask: Ask,
    /// Why it does not answer, until it has once.
    why: Mutex<Option<String>>,
}

impl Opened {
    /// Fails for what can never work, as things are.
    async fn asked(artifacts: ObjectArtifacts, ask: Ask) -> Result<Self, HostError> {
        let opened = Self { artifacts: Arc::new(artifacts), away: Arc::new(Away { ask, why: Mutex::default() }) };
        opened.look().await.map_err(|e| cannot(ErrorCode::Unavailable, "AIDT_ARTIFACTS_URL cannot be used", e))?;
        if let Some(why) = opened.trouble() {
            tracing::warn!(why, "what needs artifacts fails until their store answers");
        }
        Ok(opened)
    }

    /// Why it has not answered yet.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.away.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks it again if it has not answered yet.
    pub(crate) async fn ask_again(&self) {
        if self.trouble().is_some()
            && let Err(refused) = self.look().await
        {
            self.note(Some(format!("artifacts: {}", shown(&refused))));
        }
    }

    async fn look(&self) -> Result<(), ArtifactError> {
        let why = match tokio::time::timeout(ANSWER_WITHIN, (self.away.ask)()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) if error.kind == Kind::Invalid => return Err(error),
            Ok(Err(error)) => Some(format!("artifacts: {}", shown(&error))),
            Err(_) => Some(format!("artifacts: their store does not answer within {} s", ANSWER_WITHIN.as_secs())),
        };
        self.note(why);
        Ok(())
    }

    fn note(&self, why: Option<String>) {
        *self.away.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// Opens it; `None` where none is set: large values are refused then.
pub(crate) async fn open(settings: &AdapterSettings) -> Result<Option<Opened>, HostError> {
    Ok(match &settings.artifacts {
        None => None,
        Some(ArtifactsUrl::File(path)) => {
            let folder = path.join(&settings.prefix);
            let opened = ObjectArtifacts::directory(&folder, DEFAULT_LIMIT);
            let what = || format!("AIDT_ARTIFACTS_URL: {} cannot be used", folder.display());
            let opened = opened.map_err(|e| cannot(ErrorCode::Unavailable, what(), e))?;
            Some(Opened::asked(opened, Box::new(|| Box::pin(std::future::ready(Ok(()))))).await?)
        }
        Some(ArtifactsUrl::S3(url)) => Some(s3(url, settings).await?),
    })
}

#[cfg(feature = "s3")]
async fn s3(url: &str, settings: &AdapterSettings) -> Result<Opened, HostError> {
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
    let opened = aidt_artifacts_s3::open_unasked(&options);
    let (opened, bucket) =
        opened.map_err(|e| cannot(ErrorCode::Unavailable, "AIDT_ARTIFACTS_URL cannot be used", e))?;
    let ask: Ask = Box::new(move || {
        let bucket = bucket.clone();
        Box::pin(async move { bucket.ask().await })
    });
    Opened::asked(opened, ask).await
}

#[cfg(not(feature = "s3"))]
async fn s3(_: &str, _: &AdapterSettings) -> Result<Opened, HostError> {
    Err(crate::adapters::left_out("s3"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    fn opened(kinds: &'static [Option<Kind>]) -> (ObjectArtifacts, Ask) {
        let asked = AtomicU8::new(0);
        let ask: Ask = Box::new(move || {
            let kind = kinds[usize::from(asked.fetch_add(1, Ordering::Relaxed))];
            Box::pin(async move {
                let error = |kind| ArtifactError { operation: "open", subject: "s3://b".into(), kind, source: None };
                match kind {
                    // It never answers.
                    Some(Kind::Unknown) => std::future::pending().await,
                    kind => kind.map_or(Ok(()), |kind| Err(error(kind))),
                }
            })
        });
        (ObjectArtifacts::memory(1), ask)
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_keeps_nobody_from_starting_and_is_asked_until_it_is_back() {
        let (artifacts, ask) = opened(&[Some(Kind::Unavailable), Some(Kind::Unknown), Some(Kind::Invalid), None]);
        let opened = Opened::asked(artifacts, ask).await.unwrap();
        for why in ["Unavailable", "does not answer", "Invalid"] {
            let trouble = opened.trouble().unwrap();
            assert!(trouble.contains(why), "{trouble}");
            opened.ask_again().await;
        }
        assert_eq!(opened.trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_does() {
        let (artifacts, ask) = opened(&[Some(Kind::Invalid)]);
        assert!(Opened::asked(artifacts, ask).await.is_err());
    }
}
