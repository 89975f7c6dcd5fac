//! Which Redis, and how patiently.

use redis::io::tcp::TcpSettings;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisError, TlsCertificates,
};
use std::fmt;
use std::time::Duration;

/// How to reach Redis.
#[derive(Clone)]
pub struct Options {
    /// `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS, or `unix:///path`. Channels ignore
    /// the database.
    pub url: String,
    /// PEM certificates that may vouch for the server, instead of the system's.
    pub ca: Option<String>,
    /// What all keys and channels start with: 1 to 64 ASCII letters, digits, `-`, `_` and `.`.
    pub prefix: String,
    /// How long connecting may take, in the background.
    pub connect_timeout: Duration,
    /// The longest that any call takes. One that got no answer by then may have happened.
    pub response_timeout: Duration,
}

impl Options {
    /// With 2 s to connect and 500 ms to answer.
    #[must_use]
    pub fn new(url: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca: None,
            prefix: prefix.into(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_millis(500),
        }
    }

    pub(crate) fn connection_info(&self, protocol: ProtocolVersion) -> Result<ConnectionInfo, OptionsError> {
        let info = self.url.as_str().into_connection_info().map_err(|source| OptionsError::Url { source })?;
        let redis = info.redis_settings().clone().set_protocol(protocol);
        // Off by default there, and every call here is small and waited for.
        Ok(info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
    }

    /// A client that does not connect yet.
    pub(crate) fn client(&self, protocol: ProtocolVersion) -> Result<Client, OptionsError> {
        let info = self.connection_info(protocol)?;
        let client = match &self.ca {
            Some(ca) if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca.clone().into_bytes()) };
                Client::build_with_tls(info, certificates)
            }
            _ => Client::open(info),
        };
        client.map_err(|source| OptionsError::Url { source })
    }

    pub(crate) fn check_prefix(&self) -> Result<(), OptionsError> {
        // Without a colon no prefix can be the start of another's keys.
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let sensible = (1..=64).contains(&self.prefix.len()) && self.prefix.chars().all(fits);
        if sensible { Ok(()) } else { Err(OptionsError::Prefix { prefix: self.prefix.clone() }) }
    }
}

impl fmt::Debug for Options {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

/// Options that can never work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// Not an address of a Redis.
    #[error("the URL of Redis is not of the form redis://[user:password@]host[:port][/database]")]
    Url {
        /// What the client says.
        #[source]
        source: RedisError,
    },
    /// Not a prefix.
    #[error("{prefix:?} cannot be a prefix: use 1 to 64 ASCII letters, digits, '-', '_' or '.'")]
    Prefix {
        /// What was given.
        prefix: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_that_could_run_into_each_other_are_refused() {
        for bad in ["", "a:b", "a b", "ä", "*", &"x".repeat(65)] {
            assert!(Options::new("redis://localhost", bad).check_prefix().is_err(), "{bad:?}");
        }
        Options::new("redis://localhost", "aidt-1.x_Y").check_prefix().unwrap();
    }

    #[test]
    fn addresses() {
        for bad in ["", "localhost", "http://localhost", "memory:"] {
            assert!(Options::new(bad, "a").connection_info(ProtocolVersion::RESP2).is_err(), "{bad:?}");
        }
        for good in ["redis://localhost", "rediss://user:secret@localhost:6380/3", "unix:///run/redis.sock"] {
            let info = Options::new(good, "a").connection_info(ProtocolVersion::RESP3).unwrap();
            assert!(info.tcp_settings().nodelay());
            assert_eq!(info.redis_settings().protocol(), ProtocolVersion::RESP3);
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let options = Options::new("redis://user:secret@localhost", "a");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
