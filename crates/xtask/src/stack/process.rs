//! One process of the stack.

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longer than a drain may take.
const ENDS_WITHIN: Duration = Duration::from_secs(35);
/// How long an answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// Killed when dropped, if it was not stopped.
pub(super) struct Process {
    pub(super) name: String,
    pub(super) log: PathBuf,
    address: SocketAddr,
    child: Child,
}

impl Process {
    /// Starts it, what it prints in a file of its name.
    pub(super) fn start(name: String, port: u16, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // Ctrl-C is for us: each is told once, in its turn.
        let child = command.process_group(0).spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { name, log, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), child })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Whether `/ready` answers 200.
    pub(super) fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect_timeout(&self.address, ANSWERS_WITHIN)?;
            stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
            stream.write_all(b"GET /ready HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut head = [0; 12];
            stream.read_exact(&mut head)?;
            Ok(head.ends_with(b" 200"))
        };
        ask().unwrap_or(false)
    }

    /// The end of what it printed.
    pub(super) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Tells it to stop and waits for its end; kills it if that takes too long.
    pub(super) fn stop(&mut self) {
        let told = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (Ok(None), Some(pid)) = (self.child.try_wait(), told) {
            // It may have ended since.
            let _ = kill_process(pid, Signal::TERM);
            let until = now() + ENDS_WITHIN;
            while matches!(self.child.try_wait(), Ok(None)) {
                if now() > until {
                    eprintln!("{} does not end and is killed", self.name);
                    break;
                }
                pause(Duration::from_millis(20));
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(clippy::disallowed_methods, reason = "real processes are waited for by the wall clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "real processes are looked at now and then")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}
