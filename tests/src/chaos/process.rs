//! One process under test.

use crate::{Server, Stage, request_within, signal};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where Debian puts it (`apt-get install libfaketime`).
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// What ends by itself is started again no sooner than after this.
const RESTART: Duration = Duration::from_secs(1);

/// A service, or all of them in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// The completion consumer.
    Owner,
    /// The step consumer.
    StepConsumer,
    /// The worker of the built-in tools.
    ToolWorker,
    /// The API.
    Gateway,
    /// An embedded stack.
    All,
}

impl Service {
    /// Those that have processes of their own.
    pub(super) const APART: [Self; 4] = [Self::Owner, Self::StepConsumer, Self::ToolWorker, Self::Gateway];

    /// As `aidt serve` calls it.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Owner => "completion-consumer",
            Self::StepConsumer => "step-consumer",
            Self::ToolWorker => "tool-worker",
            Self::Gateway => "gateway",
            Self::All => "all",
        }
    }

    /// It serves the API.
    #[must_use]
    pub(super) fn is_door(self) -> bool {
        matches!(self, Self::Gateway | Self::All)
    }
}

/// What a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    /// What is tested.
    This,
    /// What was in production before it.
    Previous,
}

impl Build {
    /// The previous build's program, if whoever started the suite has one.
    #[must_use]
    pub(super) fn previous() -> Option<PathBuf> {
        std::env::var_os("AIDT_PREVIOUS_BIN").filter(|path| !path.is_empty()).map(PathBuf::from)
    }
}

/// A process that is started, killed, frozen, and started again at the same address.
pub(super) struct Process {
    pub(super) service: Service,
    pub(super) address: String,
    settings: Vec<(String, String)>,
    log: File,
    build: Build,
    server: Option<Server>,
    started: Instant,
    is_frozen: bool,
    is_ahead: bool,
}

impl Process {
    pub(super) fn new(service: Service, address: &str, settings: Vec<(String, String)>, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let (started, address) = (Instant::now(), address.to_owned());
        let (build, server) = (Build::This, None);
        Self { service, address, settings, log, build, server, started, is_frozen: false, is_ahead: false }
    }

    /// Starts it, if wanted with a clock that is ahead.
    pub(super) fn start(&mut self, stage: &Stage, ahead: bool) {
        let name = self.service.name();
        let services: &[&str] = if self.service == Service::All { &[] } else { &[name] };
        let mut command = match self.build {
            Build::This => stage.command(services),
            Build::Previous => stage.command_of(&Build::previous().expect("it was asked for before"), services),
        };
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        if std::env::var_os("AIDT_LOG").is_none() {
            command.env("AIDT_LOG", "warn");
        }
        if ahead {
            assert!(Path::new(FAKETIME).exists(), "there is no {FAKETIME}: apt-get install libfaketime");
            command.env("LD_PRELOAD", FAKETIME).env("FAKETIME", "+30s").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        self.server = Some(Server::begin(command, &self.address, &self.log));
        (self.started, self.is_ahead) = (Instant::now(), ahead);
    }

    pub(super) fn kill(&mut self) {
        self.server.take().into_iter().for_each(Server::kill);
    }

    /// Ends it as an orchestrator of containers does, and starts it again, perhaps as another build.
    ///
    /// # Panics
    /// When it does not end well.
    pub(super) fn roll(&mut self, stage: &Stage, build: Build) {
        let code = self.server.take().and_then(Server::terminate);
        assert_eq!(code, Some(0), "{} at {} did not end well", self.service.name(), self.address);
        self.build = build;
        self.start(stage, false);
    }

    pub(super) fn is_of(&self, build: Build) -> bool {
        self.build == build
    }

    pub(super) fn freeze(&mut self) {
        self.server.iter().for_each(|server| signal(server.pid(), "STOP"));
        self.is_frozen = true;
    }

    /// True for one that nobody killed, when it may be started again.
    pub(super) fn ended_by_itself(&mut self) -> bool {
        self.server.as_mut().is_some_and(Server::has_ended) && self.started.elapsed() > RESTART
    }

    /// As it was before anything was done to it.
    pub(super) fn restore(&mut self, stage: &Stage) {
        if std::mem::take(&mut self.is_frozen) {
            self.server.iter().for_each(|server| signal(server.pid(), "CONT"));
        }
        if self.is_ahead {
            self.kill();
        }
        if self.server.is_none() {
            self.start(stage, false);
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        request_within(Duration::from_secs(2), &self.address, "GET", "/ready", &[], None).status == 200
    }

    pub(super) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }
}
