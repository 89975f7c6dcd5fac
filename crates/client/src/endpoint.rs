//! Where a server listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens: `http://HOST:PORT` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address, as `host:port`; the host may be a name.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}

/// A text that names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{found}' is not a server's address: {why}")]
pub struct EndpointError {
    found: String,
    why: &'static str,
}

impl Endpoint {
    /// What stands in the `Host` header of a request.
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Tcp(authority) => authority,
            Self::Unix(_) => "localhost",
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let bad = |why| EndpointError { found: s.to_owned(), why };
        if let Some(path) = s.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(bad("unix: needs the path of a socket"))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if s.starts_with("https://") {
            return Err(bad("this build speaks http:// only; put it behind a local TLS proxy"));
        }
        let rest = s.strip_prefix("http://").ok_or_else(|| bad("give http://HOST:PORT or unix:PATH"))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let parsed: http::uri::Authority =
            authority.parse().map_err(|_| bad("give http://HOST:PORT, without a path"))?;
        if parsed.as_str().contains('@') {
            return Err(bad("it must not hold a user name or a password"));
        }
        Ok(Self::Tcp(match parsed.port() {
            Some(_) => authority.to_owned(),
            None => format!("{authority}:80"),
        }))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for text in ["http://127.0.0.1:7070", "http://[::1]:7070", "http://aidt.example:80", "unix:/run/a.sock"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn is_lenient_about_the_end_and_the_port() {
        assert_eq!("http://h:1/".parse(), Ok(Endpoint::Tcp("h:1".into())));
        assert_eq!("http://h".parse(), Ok(Endpoint::Tcp("h:80".into())));
        assert_eq!("unix:///a/b".parse(), Ok(Endpoint::Unix("/a/b".into())));
    }

    #[test]
    fn refuses_other_things_and_says_why() {
        for (text, why) in [
            ("https://h:1", "http:// only"),
            ("h:1", "http://HOST:PORT"),
            ("http://h:1/v1", "without a path"),
            ("http://me:pw@h:1", "password"),
            ("unix:", "path of a socket"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
