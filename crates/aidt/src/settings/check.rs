//! What cannot work together is refused before anything is opened.

use super::names;
use super::source::invalid;
use super::{DatabaseUrl, LockUrl, QueueUrl, Settings, StepConsumers, tls, urls};
use aidt_cli::{HostError, Service};

impl Settings {
    /// Of a command that embeds.
    pub(super) fn check_embedded(&self) -> Result<(), HostError> {
        if self.adapters.is_shared() {
            return Err(invalid(format!(
                "{} is {}: a command that finds no server keeps its state in a file; \
                 set {} to the stack's gateway, or unset {}",
                names::DATABASE.name,
                self.adapters.database,
                names::SERVER.name,
                names::DATABASE.name
            )));
        }
        self.check(&Service::ALL)
    }

    /// Of `aidt serve` with these services in one process.
    pub(super) fn check(&self, services: &[Service]) -> Result<(), HostError> {
        self.check_adapters(services)?;
        self.check_believed(services)?;
        self.check_step_consumer(services)?;
        self.check_worker(services)?;
        self.check_listen(services)
    }

    /// What is in a file or in memory is for one process that runs all.
    fn check_adapters(&self, services: &[Service]) -> Result<(), HostError> {
        // A tool worker alone keeps nothing anywhere.
        if services == [Service::ToolWorker] {
            return Ok(());
        }
        let adapters = &self.adapters;
        let split = services.len() < Service::ALL.len();
        if split && let DatabaseUrl::Sqlite(_) = adapters.database {
            let (missing, set) = (missing(services), names::DATABASE.name);
            return Err(invalid(format!(
                "{} is {}, which one process uses alone; with {missing} in other processes, set it to \
                 postgres://…, or run `aidt serve` without naming services",
                set, adapters.database
            )));
        }
        if !split && !adapters.is_shared() {
            return Ok(());
        }
        let memory = |name: &str, servers: &str| {
            let why = format!("{name} is memory:, which no other process sees");
            Err(invalid(format!("{why}; beside {} set it to {servers}", adapters.database)))
        };
        match (&adapters.queue, &adapters.lock) {
            (QueueUrl::Memory, _) => memory(names::QUEUE.name, "amqp://… or kafka://…"),
            (_, LockUrl::Memory) => memory(names::LOCK.name, "redis://…"),
            _ => Ok(()),
        }
    }

    /// Who says who may vouch for servers is not to have a database believed that nobody vouched for. (The other
    /// servers' schemes say whether they are checked.)
    fn check_believed(&self, services: &[Service]) -> Result<(), HostError> {
        let DatabaseUrl::Postgres(url) = &self.adapters.database else { return Ok(()) };
        if self.adapters.ca.is_none() || services == [Service::ToolWorker] || urls::is_local(url) {
            return Ok(());
        }
        match urls::parameter(url, &["sslmode", "ssl-mode"]).or(self.adapters.sslmode.as_deref()) {
            Some("verify-ca" | "verify-full" | "disable") => Ok(()),
            _ => Err(invalid(format!(
                "{} is set, and {} has nobody checked by it: add sslmode=verify-full, or sslmode=disable where the \
                 network is safe",
                names::TLS_CA_FILE.name,
                names::DATABASE.name
            ))),
        }
    }

    /// Secrets that step consumers share; embedded, the home keeps them.
    fn check_step_consumer(&self, services: &[Service]) -> Result<(), HostError> {
        if !services.contains(&Service::StepConsumer) || !self.adapters.is_shared() {
            return Ok(());
        }
        if self.worker.token.is_none() {
            return Err(missing_secret(names::WORKER_TOKEN, names::WORKER_TOKEN_FILE, "what admits workers"));
        }
        match &self.route_key {
            None => {
                let what = "what seals the routes of results, the same in all step consumers";
                Err(missing_secret(names::ROUTE_KEY, names::ROUTE_KEY_FILE, what))
            }
            Some(key) if key.expose().len() < 16 => {
                Err(invalid(format!("{} is too short: give at least 16 random characters", names::ROUTE_KEY.name)))
            }
            Some(key) if self.worker.token.as_ref() == Some(key) => {
                let message = "are the same: workers know the token and must not know the key";
                Err(invalid(format!("{} and {} {message}", names::WORKER_TOKEN.name, names::ROUTE_KEY.name)))
            }
            Some(_) => Ok(()),
        }
    }

    fn check_worker(&self, services: &[Service]) -> Result<(), HostError> {
        let alone = !services.contains(&Service::StepConsumer);
        if !services.contains(&Service::ToolWorker) {
            return Ok(());
        }
        if alone && self.worker.step_consumers.is_empty() {
            let name = names::STEP_CONSUMERS.name;
            let message = "is not set: where does the tool worker dial in? http://HOST:PORT,… or dns://NAME:PORT";
            return Err(invalid(format!("{name} {message}")));
        }
        if alone && self.worker.token.is_none() {
            return Err(missing_secret(names::WORKER_TOKEN, names::WORKER_TOKEN_FILE, "what admits the worker"));
        }
        self.check_dialled()?;
        let dialled = self.worker.step_consumers.len() + usize::from(!alone);
        if (self.worker.slots as usize) < dialled {
            return Err(invalid(format!(
                "{} is {}, less than one for each of {dialled} step consumers",
                names::WORKER_SLOTS.name,
                self.worker.slots
            )));
        }
        Ok(())
    }

    /// Clear text stays on this machine; TLS needs a certificate to show.
    fn check_dialled(&self) -> Result<(), HostError> {
        let name = names::STEP_CONSUMERS.name;
        for at in &self.worker.step_consumers {
            match at {
                StepConsumers::At(_) if self.worker.tls.is_some() && !at.is_local() => {
                    return Err(invalid(format!("{name}: {at} is clear text to another machine: use https://")));
                }
                _ if self.worker.tls.is_some() => {}
                StepConsumers::Tls { .. } => {
                    return Err(invalid(format!("{name}: {at} wants mutual TLS: {}", tls::needed())));
                }
                _ if !at.is_local() => {
                    let why = "is another machine, which takes mutual TLS";
                    return Err(invalid(format!("{name}: {at} {why}: {}, and use https:// or dns://", tls::needed())));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses to listen where others could reach what is not guarded by keys.
    fn check_listen(&self, services: &[Service]) -> Result<(), HostError> {
        let (gateway, hub) = (services.contains(&Service::Gateway), services.contains(&Service::StepConsumer));
        if gateway && hub && self.worker.tls.is_some() {
            let why = "takes workers over TLS, which a gateway on the same address would take from its clients, too";
            return Err(invalid(format!(
                "the step consumer {why}: run `aidt serve step-consumer` apart, or unset {}",
                names::WORKER_TLS_CA_FILE.name
            )));
        }
        if self.listen.ip().is_loopback() {
            return Ok(());
        }
        let why = if gateway {
            "the API has no keys yet and is never open without them; put an authenticating proxy in front, and listen \
             on 127.0.0.1"
                .to_owned()
        } else if hub && self.worker.tls.is_none() {
            format!("workers on other hosts take mutual TLS: {}, or listen on 127.0.0.1", tls::needed())
        } else {
            // Behind certificates; or health and readiness, where there is nothing to guard.
            return Ok(());
        };
        Err(invalid(format!("{} is not a loopback address: {why}", self.listen)))
    }
}

fn missing(services: &[Service]) -> String {
    let missing: Vec<&str> = Service::ALL.iter().filter(|s| !services.contains(s)).map(|s| s.name()).collect();
    missing.join(", ")
}

fn missing_secret(name: &names::Name, file: &names::Name, what: &str) -> HostError {
    invalid(format!("{} (or {}) is not set: {what}", name.name, file.name))
}
