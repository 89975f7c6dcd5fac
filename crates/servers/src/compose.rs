//! The servers as containers: `docker compose` on `deploy/compose/servers.yaml`, a project for each instance.

use crate::process::eventually;
use crate::{Kind, Result, install};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Whether a Docker engine answers within 2 s, and its client knows `compose`. Found out once.
pub(crate) fn is_there() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let succeeds = |args: &[&str]| {
        let mut docker = Command::new("docker");
        docker.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut child) = docker.spawn() else { return false };
        let mut success = false;
        eventually(Duration::from_secs(2), || match child.try_wait() {
            Ok(Some(status)) => {
                success = status.success();
                true
            }
            _ => false,
        });
        // One that hangs, as a client does whose engine does not answer.
        let _ = child.kill();
        let _ = child.wait();
        success
    };
    *FOUND.get_or_init(|| succeeds(&["info"]) && succeeds(&["compose", "version"]))
}

pub(crate) fn start(kind: Kind, folder: &Path, port: u16) -> Result<()> {
    let mut compose = compose(folder);
    compose.env(format!("AIDT_{}_PORT", kind.name().to_uppercase()), port.to_string());
    install::run("docker compose up", compose.args(["up", "--detach", "--wait", kind.name()]))
}

pub(crate) fn stop(kind: Kind, folder: &Path) -> Result<()> {
    install::run("docker compose stop", compose(folder).args(["stop", kind.name()]))
}

pub(crate) fn kill(kind: Kind, folder: &Path) -> Result<()> {
    install::run("docker compose kill", compose(folder).args(["kill", kind.name()]))
}

pub(crate) fn pause(kind: Kind, folder: &Path) -> Result<()> {
    install::run("docker compose pause", compose(folder).args(["pause", kind.name()]))
}

pub(crate) fn unpause(kind: Kind, folder: &Path) -> Result<()> {
    install::run("docker compose unpause", compose(folder).args(["unpause", kind.name()]))
}

/// The container and what it stored.
pub(crate) fn remove(kind: Kind, folder: &Path) -> Result<()> {
    install::run("docker compose rm", compose(folder).args(["rm", "--force", "--stop", "--volumes", kind.name()]))?;
    let volume = format!("{}_{}", project(folder), kind.name());
    install::run("docker volume rm", Command::new("docker").args(["volume", "rm", "--force", &volume]))
}

/// `docker compose` for the instance of this server.
pub(crate) fn compose(folder: &Path) -> Command {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/compose/servers.yaml");
    let mut command = Command::new("docker");
    command.args(["compose", "--progress", "quiet", "--project-name", &project(folder), "--file"]).arg(file);
    command
}

/// The name of the instance, for people, and a digest of where it is, against those of other clones.
fn project(folder: &Path) -> String {
    let instance = folder.parent().map(PathBuf::from).unwrap_or_default();
    let name = instance.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let mut hasher = DefaultHasher::new();
    instance.hash(&mut hasher);
    format!("aidt-{name}-{:08x}", hasher.finish() as u32)
}
