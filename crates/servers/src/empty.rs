//! Deleting what a server holds while it runs, as an operator does by mistake.

use crate::native::rabbitmq;
use crate::state::{Engine, State};
use crate::{Error, Kind, Result, Server, compose, install, probe};

/// Deletes every queue. One by one through the command line would take a start of Erlang's machine each.
const DELETE_QUEUES: &str =
    "[rabbit_amqqueue:delete(Q, false, false, <<\"aidt\">>) || Q <- rabbit_amqqueue:list()], ok.";

impl Server {
    /// Deletes Redis' keys, RabbitMQ's queues or Kafka's topics. The server goes on.
    ///
    /// # Errors
    /// [`Error::Down`] if it does not run, [`Error::Unfit`] when it does not do so, and for Postgres: it is the
    /// store.
    pub fn empty(&self) -> Result<()> {
        let state = State::load(self.folder())?;
        let engine = state.engine.ok_or(Error::Down { kind: self.kind() })?;
        let refused = |error| Error::Unfit(format!("{} is not emptied: {error}", self.kind()));
        match self.kind() {
            Kind::Postgres => Err(Error::Unfit("Postgres is the store: it is not emptied".to_owned())),
            Kind::Redis => probe::flush_redis(state.ports[0]).map_err(refused),
            Kind::Kafka => probe::delete_topics(state.ports[0]).map_err(refused),
            Kind::RabbitMq => {
                let mut command = match engine {
                    Engine::Native => rabbitmq::control(self.folder(), &state.ports),
                    Engine::Compose => {
                        let mut command = compose::compose(self.folder());
                        command.args(["exec", "-T", self.kind().name(), "rabbitmqctl"]);
                        command
                    }
                };
                install::run("rabbitmqctl", command.args(["--quiet", "eval", DELETE_QUEUES]))
            }
        }
    }
}
