//! The servers that there are.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// As in `pom.xml` and `deploy/compose/servers.yaml`.
const KAFKA: &str = "4.3.1";

/// One of the servers that the adapters are tested against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The store.
    Postgres,
    /// Leases, token buckets, live frames.
    Redis,
    /// A broker.
    RabbitMq,
    /// The other broker: one node, KRaft.
    Kafka,
}

impl Kind {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Redis, Self::RabbitMq, Self::Kafka];

    /// Its name on the command line, in folders and as a service of `deploy/compose`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::RabbitMq => "rabbitmq",
            Self::Kafka => "kafka",
        }
    }

    /// The environment variable that tells tests where it is.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "AIDT_TEST_POSTGRES_URL",
            Self::Redis => "AIDT_TEST_REDIS_URL",
            Self::RabbitMq => "AIDT_TEST_AMQP_URL",
            Self::Kafka => "AIDT_TEST_KAFKA",
        }
    }

    /// What that variable says: a URL, for Kafka `host:port`.
    pub(crate) fn url(self, port: u16) -> String {
        match self {
            Self::Postgres => format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            Self::Redis => format!("redis://127.0.0.1:{port}/0"),
            Self::RabbitMq => format!("amqp://guest:guest@127.0.0.1:{port}/%2f"),
            Self::Kafka => format!("127.0.0.1:{port}"),
        }
    }

    /// Where clients find it over TLS, where `ports` are its ports; `None` for one that was given none for that.
    pub(crate) fn tls_url(self, host: &str, ports: &[u16]) -> Option<String> {
        Some(match self {
            Self::Postgres => format!("postgres://postgres@{host}:{}/postgres?sslmode=verify-full", ports.first()?),
            Self::Redis => format!("rediss://{host}:{}/0", ports.get(1)?),
            Self::RabbitMq => format!("amqps://guest:guest@{host}:{}/%2f", ports.get(3)?),
            Self::Kafka => return None,
        })
    }

    /// Its version, for one that does not tell.
    pub(crate) fn version(self) -> Option<String> {
        (self == Self::Kafka).then(|| KAFKA.to_owned())
    }

    /// How many ports it listens on; the first is the one for clients.
    pub(crate) fn ports(self) -> usize {
        match self {
            Self::Postgres => 1,
            // Clients, clients over TLS.
            Self::Redis => 2,
            // Clients, Erlang's distribution, its port mapper, clients over TLS.
            Self::RabbitMq => 4,
            // Clients, the controller.
            Self::Kafka => 2,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| Error::Unknown(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_kafka_is_the_one_that_is_fetched() {
        assert!(include_str!("../pom.xml").contains(&format!("<version>{KAFKA}</version>")));
        assert!(include_str!("../../../deploy/compose/servers.yaml").contains(&format!("apache/kafka:{KAFKA}")));
    }
}
