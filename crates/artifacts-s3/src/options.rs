//! Which bucket, and as whom.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// How to reach a bucket.
#[derive(Clone, Debug)]
pub struct Options {
    /// `s3://bucket` or `s3://bucket/prefix`.
    pub url: String,
    /// The server, for all but AWS itself: `https://host[:port]`, or `http://` on loopback.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// As whom.
    pub keys: Keys,
    /// Whether the bucket is a part of the host name (AWS) or of the path (most others).
    pub virtual_hosted: bool,
    /// Whether `http://` is allowed beyond loopback, where others may read what goes over it.
    pub allow_http: bool,
    /// PEM certificates that may vouch for the server, beside the system's.
    pub ca: Option<String>,
    /// The largest artifact, in bytes.
    pub limit: u64,
    /// The longest that one request may take; a few are tried.
    pub request_timeout: Duration,
}

/// An access key and its secret.
#[derive(Clone)]
pub struct Keys {
    /// The access key's id.
    pub access: String,
    /// The secret.
    pub secret: String,
    /// The token of a session, for temporary keys.
    pub token: Option<String>,
}

impl fmt::Debug for Keys {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access", &self.access).finish_non_exhaustive()
    }
}

impl Options {
    /// On AWS in `us-east-1`; with an endpoint, elsewhere.
    #[must_use]
    pub fn new(url: impl Into<String>, endpoint: Option<String>, keys: Keys) -> Self {
        Self {
            url: url.into(),
            virtual_hosted: endpoint.is_none(),
            endpoint,
            region: "us-east-1".to_owned(),
            keys,
            allow_http: false,
            ca: None,
            limit: aidt_artifacts::DEFAULT_LIMIT,
            request_timeout: Duration::from_secs(30),
        }
    }

    /// The bucket, and what all names in it start with.
    pub(crate) fn place(&self) -> Result<(&str, &str), OptionsError> {
        let place = self.url.strip_prefix("s3://").and_then(|rest| {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            let sensible = !bucket.is_empty() && bucket.chars().all(fits) && !prefix.contains(['?', '#']);
            sensible.then_some((bucket, prefix.trim_matches('/')))
        });
        place.ok_or_else(|| OptionsError::Url { url: self.url.clone() })
    }

    pub(crate) fn check_endpoint(&self) -> Result<(), OptionsError> {
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let invalid = || OptionsError::Endpoint { endpoint: endpoint.clone() };
        let (scheme, rest) = endpoint.split_once("://").ok_or_else(invalid)?;
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@', '?', '#']) {
            return Err(invalid());
        }
        match scheme {
            "https" => Ok(()),
            "http" if self.allow_http || is_loopback(authority) => Ok(()),
            "http" => Err(OptionsError::Http { endpoint: endpoint.clone() }),
            _ => Err(invalid()),
        }
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Options that can never work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// Not a bucket.
    #[error("{url:?} names no bucket: it should be s3://bucket or s3://bucket/prefix")]
    Url {
        /// What was given.
        url: String,
    },
    /// Not an address.
    #[error("{endpoint:?} is no endpoint: it should be https://host[:port] (credentials go apart)")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// Not over a network.
    #[error("{endpoint:?} is not encrypted and not on loopback: use https://, or allow http explicitly")]
    Http {
        /// What was given.
        endpoint: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str, endpoint: Option<&str>) -> Options {
        let keys = Keys { access: "id".into(), secret: "hidden".into(), token: None };
        Options::new(url, endpoint.map(str::to_owned), keys)
    }

    #[test]
    fn places() {
        for (url, place) in [
            ("s3://bucket", ("bucket", "")),
            ("s3://bucket/", ("bucket", "")),
            ("s3://a-b.c/one/two/", ("a-b.c", "one/two")),
        ] {
            assert_eq!(options(url, None).place().unwrap(), place);
        }
        for bad in ["", "s3:", "s3://", "s3:///prefix", "file:/x", "s3://key:secret@bucket", "s3://b?x=y", "s3://b/p?x"]
        {
            assert!(options(bad, None).place().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn unencrypted_only_on_loopback_or_when_told() {
        for good in [
            "https://s3.example",
            "http://localhost:9000",
            "http://127.0.0.1:1/",
            "http://[::1]:9000",
            "http://127.9.9.9",
        ] {
            options("s3://b", Some(good)).check_endpoint().unwrap();
        }
        for bad in ["http://s3.example", "http://10.0.0.1", "http://localhost.example", "http://127.0.0.1.example"] {
            assert!(matches!(options("s3://b", Some(bad)).check_endpoint(), Err(OptionsError::Http { .. })), "{bad:?}");
            let mut told = options("s3://b", Some(bad));
            told.allow_http = true;
            told.check_endpoint().unwrap();
        }
        for bad in ["", "localhost:9000", "ftp://x", "https://", "https://x/path", "https://key:secret@x"] {
            let error = options("s3://b", Some(bad)).check_endpoint();
            assert!(matches!(error, Err(OptionsError::Endpoint { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert!(!format!("{:?}", options("s3://b", None)).contains("hidden"));
    }
}
