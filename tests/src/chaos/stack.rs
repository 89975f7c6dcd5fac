//! Which servers a stack is on.

use crate::Stage;
use aidt_servers::{Instance, Kind, Server};
use std::net::SocketAddr;

/// What the processes under test run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Postgres, RabbitMQ and Redis; two processes of each service.
    Rabbitmq,
    /// Postgres, Kafka and Redis; likewise.
    Kafka,
    /// A file; one process.
    Embedded,
}

/// What a process talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    /// The database.
    Store,
    /// The broker.
    Queue,
    /// Leases and live frames.
    Lock,
}

impl Party {
    /// All that a process apart has.
    pub(super) const ALL: [Self; 3] = [Self::Store, Self::Queue, Self::Lock];

    /// The variable that tells a process where it is.
    #[must_use]
    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::Store => "AIDT_DATABASE_URL",
            Self::Queue => "AIDT_QUEUE_URL",
            Self::Lock => "AIDT_LOCK_URL",
        }
    }
}

impl Stack {
    /// In tables.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rabbitmq => "rabbitmq",
            Self::Kafka => "kafka",
            Self::Embedded => "embedded",
        }
    }

    /// A home for its processes, and names of its own on the servers.
    #[must_use]
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Rabbitmq => Stage::rabbitmq(),
            Self::Kafka => Stage::kafka(),
            Self::Embedded => Stage::embedded(),
        }
    }

    /// The server that is this party.
    ///
    /// # Panics
    /// Embedded, or without the instance's name in the environment.
    #[must_use]
    pub(super) fn server(self, party: Party) -> Server {
        let name = std::env::var("AIDT_TEST_INSTANCE").unwrap_or_else(|_| {
            panic!("AIDT_TEST_INSTANCE is not set: run the chaos suite by `cargo xtask chaos`, which wipes servers")
        });
        let kind = match (party, self) {
            (Party::Store, _) => Kind::Postgres,
            (Party::Lock, _) => Kind::Redis,
            (Party::Queue, Self::Rabbitmq) => Kind::RabbitMq,
            (Party::Queue, Self::Kafka) => Kind::Kafka,
            (Party::Queue, Self::Embedded) => panic!("an embedded stack has no broker"),
        };
        Instance::named(&name).unwrap().server(kind)
    }

    /// The address of that server.
    #[must_use]
    pub(super) fn address(self, party: Party) -> SocketAddr {
        let url = self.server(party).url().unwrap();
        let host = url.split("//").last().unwrap().split('@').next_back().unwrap().split('/').next().unwrap();
        host.parse().unwrap_or_else(|e| panic!("{e}: {url}"))
    }
}
