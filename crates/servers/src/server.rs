//! One server in a folder of its own, and what can be done to it. How it is: `status`.

use crate::process::{Process, eventually};
use crate::state::{Engine, State, lock};
use crate::{Error, Kind, Result, compose, install, native, ports, probe};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A start takes seconds, on a machine that does much else perhaps a minute.
const START: Duration = Duration::from_secs(180);
/// Before an orderly stop becomes SIGKILL.
const STOP: Duration = Duration::from_secs(30);
/// For the kernel to end what was killed.
const KILL: Duration = Duration::from_secs(10);
/// A log longer than this becomes `log.old` at the next start.
const LOG: u64 = 4 << 20;
/// Stands in the log before what each run prints.
pub(crate) const MARK: &str = "--- start ---";

/// One server. The value is only a handle: dropping it leaves the server as it is.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) kind: Kind,
    pub(crate) folder: PathBuf,
    jars: PathBuf,
}

/// What a start found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It was not running.
    Now,
    /// It ran and answers.
    Already,
}

impl Server {
    pub(crate) fn new(kind: Kind, folder: PathBuf, jars: PathBuf) -> Self {
        Self { kind, folder, jars }
    }

    /// Which one it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its folder: `data`, `log`, configuration and state.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that a native server prints to.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The command that shows the end of what it printed, and goes on doing so if wanted.
    ///
    /// # Errors
    /// [`Error::Down`] before the first start.
    pub fn show_log(&self, lines: u32, follow: bool) -> Result<Command> {
        let engine = State::load(&self.folder)?.engine.ok_or(Error::Down { kind: self.kind })?;
        let mut command = match engine {
            Engine::Native => {
                let mut command = Command::new("tail");
                command.arg(format!("--lines={lines}")).arg(self.log());
                command
            }
            Engine::Compose => {
                let mut command = compose::compose(&self.folder);
                command.args(["logs", &format!("--tail={lines}"), self.kind.name()]);
                command
            }
        };
        if follow {
            command.arg("--follow");
        }
        Ok(command)
    }

    /// Where clients find it, as its variable says; ports are chosen at the first start.
    ///
    /// # Errors
    /// [`Error::Down`] before the first start.
    pub fn url(&self) -> Result<String> {
        let port = State::load(&self.folder)?.ports.first().copied();
        port.map(|port| self.kind.url(port)).ok_or(Error::Down { kind: self.kind })
    }

    /// Has it speak TLS from its next start on, with this certificate and key (PEM). It goes on to speak clear text,
    /// too.
    ///
    /// # Errors
    /// [`Error::Unfit`] for Kafka, for containers, and for a server that chose its ports before it could have TLS.
    pub fn use_tls(&self, certificate: &str, key: &str) -> Result<()> {
        let _lock = lock(&self.folder)?;
        let mut state = State::load(&self.folder)?;
        let unfit = |why: &str| Error::Unfit(format!("{} cannot be given TLS here: {why}", self.kind));
        if *state.engine.get_or_insert_with(Engine::detect) == Engine::Compose {
            return Err(unfit("it runs in a container"));
        }
        if state.ports.is_empty() {
            state.ports = ports::choose(self.kind, &self.folder, &[])?;
        }
        if self.kind.tls_url("localhost", &state.ports).is_none() {
            return Err(unfit("it has no port for that (of an old instance: `cargo xtask services down --wipe`)"));
        }
        native::tls::write(&self.folder, certificate, key)?;
        state.save(&self.folder)
    }

    /// Where clients find it over TLS, by this name of loopback.
    ///
    /// # Errors
    /// [`Error::Down`] before [`Server::use_tls`].
    pub fn tls_url(&self, host: &str) -> Result<String> {
        let ports = State::load(&self.folder)?.ports;
        let url = self.kind.tls_url(host, &ports).filter(|_| native::tls::files(&self.folder).is_some());
        url.ok_or(Error::Down { kind: self.kind })
    }

    /// Starts it where it was before, with the data of before, and waits until it answers.
    ///
    /// # Errors
    /// [`Error::PortTaken`] if somebody else has its port; others if it cannot be started or does not answer.
    pub fn start(&self) -> Result<Started> {
        let _lock = lock(&self.folder)?;
        let mut state = State::load(&self.folder)?;
        let engine = *state.engine.get_or_insert_with(Engine::detect);
        if state.ports.is_empty() {
            state.ports = ports::choose(self.kind, &self.folder, &[])?;
        }
        match engine {
            Engine::Native => self.start_native(&mut state),
            Engine::Compose => {
                state.save(&self.folder)?;
                compose::start(self.kind, &self.folder, state.ports[0])?;
                self.wait_until_it_answers(&state, None)?;
                Ok(Started::Now)
            }
        }
    }

    fn start_native(&self, state: &mut State) -> Result<Started> {
        if let Some(process) = state.process.filter(|process| process.is_alive()) {
            self.wait_until_it_answers(state, Some(process))?;
            return Ok(Started::Already);
        }
        let mapper = state.port_mapper.filter(|process| process.is_alive());
        let ours: &[u16] = if mapper.is_some() { &state.ports[2..] } else { &[] };
        if let Some(port) = state.ports.iter().find(|port| !ours.contains(port) && !ports::is_free(**port)) {
            return Err(Error::PortTaken { kind: self.kind, port: *port });
        }
        if self.kind == Kind::Kafka {
            install::jars(&self.jars)?;
        }
        let mut command = native::prepare(self.kind, &self.folder, &state.ports, &self.jars)?;
        let log = self.open_log()?;
        if self.kind == Kind::RabbitMq && mapper.is_none() {
            let mut mapper = native::rabbitmq::port_mapper(&self.folder, &state.ports);
            state.port_mapper = Some(spawn("epmd", &mut mapper, &log)?);
        }
        let process = spawn(self.kind.name(), &mut command, &log)?;
        state.process = Some(process);
        state.save(&self.folder)?;
        self.wait_until_it_answers(state, Some(process))?;
        Ok(Started::Now)
    }

    /// The log with a mark at its end, the old one put aside if it is long.
    fn open_log(&self) -> Result<File> {
        let path = self.log();
        if fs::metadata(&path).is_ok_and(|m| m.len() > LOG) {
            let old = self.folder.join("log.old");
            fs::rename(&path, &old).map_err(Error::file("rename", &path))?;
        }
        let mut log = File::options().create(true).append(true).open(&path).map_err(Error::file("open", &path))?;
        writeln!(log, "{MARK}").map_err(Error::file("write", &path))?;
        Ok(log)
    }

    fn wait_until_it_answers(&self, state: &State, process: Option<Process>) -> Result<()> {
        let mut why = "no answer".to_owned();
        let mut ended = false;
        let answers = eventually(START, || {
            ended = process.is_some_and(|process| !process.is_alive());
            if ended {
                return true;
            }
            match self.ask(state) {
                Ok(_) => true,
                Err(error) => {
                    why = error;
                    false
                }
            }
        });
        let tail = || {
            let bytes = fs::read(self.log()).unwrap_or_default();
            install::last_lines(&String::from_utf8_lossy(&bytes), 20)
        };
        let (kind, log) = (self.kind, self.log());
        match (ended, answers) {
            (true, _) => Err(Error::Ended { kind, log, tail: tail() }),
            (false, true) => Ok(()),
            (false, false) => Err(Error::Silent { kind, seconds: START.as_secs(), why, log, tail: tail() }),
        }
    }

    /// Stops it in an orderly way, by SIGKILL if that takes too long. False if it did not run.
    ///
    /// # Errors
    /// [`Error::Unending`] if the process survives.
    pub fn stop(&self) -> Result<bool> {
        let _lock = lock(&self.folder)?;
        let mut state = State::load(&self.folder)?;
        if state.engine == Some(Engine::Compose) {
            let ran = probe::ask(self.kind, state.ports[0]).is_ok();
            compose::stop(self.kind, &self.folder)?;
            return Ok(ran);
        }
        let process = state.process.take().filter(|process| process.is_alive());
        if let Some(process) = process {
            // For Postgres, TERM waits for its clients.
            process.signal(if self.kind == Kind::Postgres { Signal::INT } else { Signal::TERM });
            process.signal_tree(Signal::CONT);
            if !process.ends_within(STOP) {
                self.end(process)?;
            }
        }
        if let Some(mapper) = state.port_mapper.take() {
            self.end(mapper)?;
        }
        if State::written(&self.folder).is_some() {
            state.save(&self.folder)?;
        }
        Ok(process.is_some())
    }

    /// Kills it and all its processes by SIGKILL. Its data stays.
    ///
    /// # Errors
    /// [`Error::Down`] if it does not run.
    pub fn kill(&self) -> Result<()> {
        let _lock = lock(&self.folder)?;
        match self.running()? {
            Some(process) => self.end(process),
            None => compose::kill(self.kind, &self.folder),
        }
    }

    /// Stops all its processes where they are (SIGSTOP), until [`Server::thaw`].
    ///
    /// # Errors
    /// [`Error::Down`] if it does not run.
    pub fn freeze(&self) -> Result<()> {
        match self.running()? {
            Some(process) => process.signal_tree(Signal::STOP),
            None => compose::pause(self.kind, &self.folder)?,
        }
        Ok(())
    }

    /// Lets it go on after [`Server::freeze`] (SIGCONT).
    ///
    /// # Errors
    /// [`Error::Down`] if it does not run.
    pub fn thaw(&self) -> Result<()> {
        match self.running()? {
            Some(process) => process.signal_tree(Signal::CONT),
            None => compose::unpause(self.kind, &self.folder)?,
        }
        Ok(())
    }

    /// Stops it in an orderly way, if it runs, and starts it at the same address with the same data.
    ///
    /// # Errors
    /// As [`Server::stop`] and [`Server::start`].
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.start().map(drop)
    }

    /// Kills it, removes all that it stored, and starts it empty at the same address if it ran.
    ///
    /// # Errors
    /// As [`Server::start`], and if its data cannot be removed.
    pub fn wipe(&self) -> Result<()> {
        let ran = self.remove_data()?;
        if ran { self.start().map(drop) } else { Ok(()) }
    }

    /// Kills it and removes all that it stored. Tells whether it ran.
    pub(crate) fn remove_data(&self) -> Result<bool> {
        let _lock = lock(&self.folder)?;
        let state = State::load(&self.folder)?;
        if state.engine == Some(Engine::Compose) {
            let ran = probe::ask(self.kind, state.ports[0]).is_ok();
            compose::remove(self.kind, &self.folder)?;
            return Ok(ran);
        }
        let process = state.process.filter(|process| process.is_alive());
        process.map(|process| self.end(process)).transpose()?;
        native::remove_data(&self.folder)?;
        Ok(process.is_some())
    }

    /// Forgets its ports, so that the next start chooses others; for one whose port was taken.
    ///
    /// # Errors
    /// If its state cannot be written, or no port is free.
    pub(crate) fn move_away(&self) -> Result<()> {
        let _lock = lock(&self.folder)?;
        let mut state = State::load(&self.folder)?;
        if let Some(mapper) = state.port_mapper.take() {
            self.end(mapper)?;
        }
        state.ports = ports::choose(self.kind, &self.folder, &state.ports)?;
        state.save(&self.folder)
    }

    /// Its process, `None` for a container.
    fn running(&self) -> Result<Option<Process>> {
        let state = State::load(&self.folder)?;
        if state.engine == Some(Engine::Compose) {
            return Ok(None);
        }
        let process = state.process.filter(|process| process.is_alive());
        process.map(Some).ok_or(Error::Down { kind: self.kind })
    }

    fn end(&self, process: Process) -> Result<()> {
        if process.kill_tree(KILL) {
            return Ok(());
        }
        Err(Error::Unending { kind: self.kind, pid: process.pid, seconds: KILL.as_secs() })
    }
}

fn spawn(name: &str, command: &mut Command, log: &File) -> Result<Process> {
    let failed = |source| Error::Spawn { program: name.to_owned(), source };
    let (out, err) = (log.try_clone().map_err(failed)?, log.try_clone().map_err(failed)?);
    Process::spawn(command.stdin(Stdio::null()).stdout(out).stderr(err)).map_err(failed)
}
