//! Which adapter, and where: a URL's scheme picks one.

use super::names::{self, Name};
use super::source::invalid;
use aidt_cli::HostError;
use std::path::{Path, PathBuf};

/// Where state is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum DatabaseUrl {
    /// A file, for all services in one process.
    Sqlite(PathBuf),
    /// A server.
    Postgres(String),
}

/// What carries steps and results.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum QueueUrl {
    /// This process's memory.
    Memory,
    /// RabbitMQ.
    Amqp(String),
    /// Brokers, `host:port,…`.
    Kafka {
        /// Where to begin.
        brokers: String,
        /// Whether they speak TLS.
        tls: bool,
    },
}

/// Leases, token buckets, live fan-out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum LockUrl {
    /// This process's memory.
    Memory,
    /// Redis or Valkey.
    Redis(String),
}

/// Where values are kept that are too large for a row.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum ArtifactsUrl {
    /// A folder, which all processes of the stack see.
    File(PathBuf),
    /// A bucket, and maybe a prefix in it.
    S3(String),
}

impl DatabaseUrl {
    pub(super) fn parse(url: Option<&str>, default: PathBuf, cwd: &Path) -> Result<Self, HostError> {
        let Some(url) = url else { return Ok(Self::Sqlite(default)) };
        let unknown = || unknown(names::DATABASE, url, "sqlite:PATH and postgres://USER@HOST:PORT/DATABASE");
        match url.split_once(':') {
            Some(("sqlite", path)) => match path.strip_prefix("//").unwrap_or(path) {
                "" => Err(unknown()),
                path => Ok(Self::Sqlite(cwd.join(path))),
            },
            Some(("postgres" | "postgresql", rest)) if rest.len() > 2 => Ok(Self::Postgres(url.to_owned())),
            _ => Err(unknown()),
        }
    }
}

impl QueueUrl {
    pub(super) fn parse(url: Option<&str>) -> Result<Self, HostError> {
        let Some(url) = url else { return Ok(Self::Memory) };
        let unknown =
            || unknown(names::QUEUE, url, "memory:, amqp(s)://USER@HOST:PORT/VHOST and kafka(+ssl)://HOST:PORT,…");
        match url.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("amqp" | "amqps", rest)) if rest.len() > 2 => Ok(Self::Amqp(url.to_owned())),
            Some((scheme @ ("kafka" | "kafka+ssl"), brokers)) => {
                let tls = scheme == "kafka+ssl";
                let brokers = brokers.trim_start_matches('/').trim_end_matches('/');
                let named =
                    |b: &str| b.rsplit_once(':').is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok());
                if brokers.split(',').all(named) {
                    Ok(Self::Kafka { brokers: brokers.to_owned(), tls })
                } else {
                    Err(unknown())
                }
            }
            _ => Err(unknown()),
        }
    }
}

impl LockUrl {
    pub(super) fn parse(url: Option<&str>) -> Result<Self, HostError> {
        let Some(url) = url else { return Ok(Self::Memory) };
        match url.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("redis" | "rediss", rest)) if rest.len() > 2 => Ok(Self::Redis(url.to_owned())),
            _ => Err(unknown(names::LOCK, url, "memory: and redis(s)://HOST:PORT")),
        }
    }
}

impl ArtifactsUrl {
    pub(super) fn parse(url: Option<&str>, cwd: &Path) -> Result<Option<Self>, HostError> {
        let Some(url) = url else { return Ok(None) };
        match url.split_once(':') {
            Some(("file", path)) if !path.is_empty() => {
                Ok(Some(Self::File(cwd.join(path.strip_prefix("//").unwrap_or(path)))))
            }
            Some(("s3", rest)) if rest.len() > 2 => Ok(Some(Self::S3(url.trim_end_matches('/').to_owned()))),
            _ => Err(unknown(names::ARTIFACTS, url, "file:PATH and s3://BUCKET/PREFIX")),
        }
    }
}

fn unknown(name: &Name, url: &str, known: &str) -> HostError {
    invalid(format!("{} is '{}': this build knows {known}", name.name, redacted(url)))
}

impl std::fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(&redacted(url)),
        }
    }
}

impl std::fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Amqp(url) => f.write_str(&redacted(url)),
            Self::Kafka { brokers, tls: false } => write!(f, "kafka://{brokers}"),
            Self::Kafka { brokers, tls: true } => write!(f, "kafka+ssl://{brokers}"),
        }
    }
}

impl std::fmt::Display for ArtifactsUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::S3(url) => f.write_str(&redacted(url)),
        }
    }
}

impl std::fmt::Display for LockUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Redis(url) => f.write_str(&redacted(url)),
        }
    }
}

/// Debug is what a log would show: no password either.
macro_rules! debug_as_display {
    ($($url:ty),+) => {
        $(impl std::fmt::Debug for $url {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        })+
    };
}
debug_as_display!(ArtifactsUrl, DatabaseUrl, QueueUrl, LockUrl);

/// A URL as it may be shown: no password, no query (which may hold one).
pub(crate) fn redacted(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.contains('@') { "…".to_owned() } else { url.to_owned() };
    };
    // A password may hold an '@' or a '/', whatever the standard says.
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}://{name}:***@{host}"),
        None => url.to_owned(),
    }
}

/// The first of these parameters in a URL's query.
pub(super) fn parameter<'a>(url: &'a str, names: &[&str]) -> Option<&'a str> {
    let pairs = url.split_once('?')?.1.split('#').next()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(name, _)| names.contains(name)).map(|(_, value)| value)
}

/// Whether the server of a URL is on this machine: a loopback address, or a socket in a folder.
pub(super) fn is_local(url: &str) -> bool {
    let host = parameter(url, &["host", "hostaddr"]).unwrap_or_else(|| {
        let place = url.split(['?', '#']).next().unwrap_or_default();
        let place = place.split_once("://").map_or(place, |(_, rest)| rest);
        let place = place.rsplit_once('@').map_or(place, |(_, host)| host);
        let authority = place.split('/').next().unwrap_or_default();
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        }
    });
    let host = host.trim_matches(['[', ']']);
    let is_folder = host.starts_with('/') || host.to_ascii_lowercase().starts_with("%2f");
    is_folder || host == "localhost" || host.parse().is_ok_and(|a: std::net::IpAddr| a.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(url: &str) -> Result<DatabaseUrl, HostError> {
        DatabaseUrl::parse(Some(url), PathBuf::from("/base/state.db"), Path::new("/here"))
    }

    #[test]
    fn schemes_pick_adapters_and_others_are_refused() {
        assert_eq!(database("sqlite:a.db").unwrap(), DatabaseUrl::Sqlite("/here/a.db".into()));
        assert_eq!(database("sqlite:///a.db").unwrap(), DatabaseUrl::Sqlite("/a.db".into()));
        assert!(matches!(database("postgres://u:p@h/db").unwrap(), DatabaseUrl::Postgres(_)));
        assert!(matches!(database("postgresql://h/db").unwrap(), DatabaseUrl::Postgres(_)));
        for bad in ["mysql://h/db", "sqlite:", "postgres:", "state.db"] {
            assert!(database(bad).unwrap_err().to_string().contains("AIDT_DATABASE_URL"), "{bad}");
        }
        assert_eq!(
            QueueUrl::parse(Some("kafka://a:1,b:2")).unwrap(),
            QueueUrl::Kafka { brokers: "a:1,b:2".into(), tls: false }
        );
        let over_tls = QueueUrl::parse(Some("kafka+ssl://a:1")).unwrap();
        assert_eq!(over_tls, QueueUrl::Kafka { brokers: "a:1".into(), tls: true });
        assert!(matches!(QueueUrl::parse(Some("amqps://h")).unwrap(), QueueUrl::Amqp(_)));
        assert!(matches!(QueueUrl::parse(Some("amqp://h")).unwrap(), QueueUrl::Amqp(_)));
        for bad in ["kafka://a", "kafka:", "nats://h", "memory:x", "amqp:", "amqps:", "kafka+ssl://a"] {
            assert!(QueueUrl::parse(Some(bad)).is_err(), "{bad}");
        }
        assert!(matches!(LockUrl::parse(Some("redis://h:1")).unwrap(), LockUrl::Redis(_)));
        assert!(LockUrl::parse(Some("etcd://h")).is_err());
        assert!(matches!(LockUrl::parse(Some("rediss://h:1")).unwrap(), LockUrl::Redis(_)));
        let artifacts = |url| ArtifactsUrl::parse(Some(url), Path::new("/here"));
        assert_eq!(artifacts("file:a").unwrap(), Some(ArtifactsUrl::File("/here/a".into())));
        assert_eq!(artifacts("s3://b/p/").unwrap(), Some(ArtifactsUrl::S3("s3://b/p".into())));
        assert!(artifacts("gs://b").is_err() && artifacts("s3:").is_err());
    }

    #[test]
    fn what_stays_on_this_machine() {
        for yes in [
            "postgres://me:p@ss@127.0.0.1:5432/aidt",
            "postgres://localhost/aidt?sslmode=require",
            "postgres://[::1]:5432/aidt",
            "postgres://me@%2Frun%2Fpostgresql/aidt",
            "postgres:///aidt?host=/run/postgresql",
        ] {
            assert!(is_local(yes), "{yes}");
        }
        for no in ["postgres://db/aidt", "postgres://127.0.0.1@db:5432/a", "postgres://localhost/a?host=db"] {
            assert!(!is_local(no), "{no}");
        }
        assert_eq!(parameter("postgres://h/d?a=b&sslmode=require#x", &["sslmode"]), Some("require"));
        assert_eq!(parameter("postgres://h/d", &["sslmode"]), None);
    }

    #[test]
    fn passwords_are_never_shown() {
        for (url, shown) in [
            ("postgres://me:secret@db:5432/aidt?sslpassword=secret", "postgres://me:***@db:5432/aidt"),
            ("amqp://me:sec@ret@mq", "amqp://me:***@mq"),
            ("redis://:secret@h:6379", "redis://:***@h:6379"),
            ("postgres://me@db/aidt", "postgres://me@db/aidt"),
            ("memory:", "memory:"),
            ("me:secret@h", "…"),
        ] {
            assert_eq!(redacted(url), shown);
        }
        let error = database("mysql://me:secret@h").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert!(!format!("{:?}", database("postgres://me:secret@h/d").unwrap()).contains("secret"));
    }
}
