//! Getting what servers need: Debian packages, and Kafka's jars from Maven Central.

use crate::{Error, Kind, Result, native, state};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const POM: &str = include_str!("../pom.xml");
const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
/// Installs the packages that are its arguments, and sees to it that they start nothing by themselves:
/// RabbitMQ's would listen on every address.
const INSTALL: &str = include_str!("install.sh");

/// The first program of this name in PATH or where Debian keeps programs of the system.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Installs what these servers miss, by apt; an error names the packages where that cannot be done.
pub(crate) fn packages(kinds: &[Kind], jars: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<()> {
    let mut missing = Vec::new();
    for kind in kinds {
        match kind {
            Kind::Postgres if native::postgres::binaries(None).is_none() => missing.push("postgresql"),
            Kind::Redis if program("redis-server").is_none() => missing.push("redis-server"),
            Kind::RabbitMq if native::rabbitmq::script().is_none() => missing.push("rabbitmq-server"),
            Kind::Kafka => missing.extend(kafka(jars)),
            _ => {}
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("installing {}", missing.join(" ")));
    let missing_error = || Error::Missing { packages: missing.join(" ") };
    if program("apt-get").is_none() {
        return Err(missing_error());
    }
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("sh")
    } else if succeeds(Command::new("sudo").args(["-n", "true"])) {
        let mut command = Command::new("sudo");
        command.args(["-n", "sh"]);
        command
    } else {
        return Err(missing_error());
    };
    command.args(["-c", INSTALL, "install"]).args(&missing);
    run("apt-get install", &mut command)
}

/// What Kafka misses. Maven is needed only to get the jars.
fn kafka(jars: &Path) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if program("java").is_none() {
        missing.push("default-jre-headless");
    }
    if !complete(jars) && program("mvn").is_none() {
        missing.push("maven");
    }
    missing
}

/// Fetches Kafka's jars, once for all instances.
pub(crate) fn jars(folder: &Path) -> Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    let _lock = state::lock(parent)?;
    if complete(folder) {
        return Ok(());
    }
    let fresh = folder.with_extension("new");
    for old in [&fresh, folder] {
        if old.exists() {
            fs::remove_dir_all(old).map_err(Error::file("remove", old))?;
        }
    }
    fs::create_dir_all(&fresh).map_err(Error::file("create", &fresh))?;
    let pom = fresh.join("pom.xml");
    fs::write(&pom, POM).map_err(Error::file("write", &pom))?;
    let mut maven = Command::new("mvn");
    maven.args(["-B", "-q", "-Dstyle.color=never", "-f"]).arg(&pom);
    // By its full name: a short one hides why it cannot be had.
    maven.args([COPY_DEPENDENCIES, "-DincludeScope=runtime"]);
    maven.arg(format!("-DoutputDirectory={}", fresh.display()));
    run("mvn", &mut maven)?;
    fs::rename(&fresh, folder).map_err(Error::file("rename", &fresh))
}

/// The folder appears whole; the copy of the list in it says of which version it is.
pub(crate) fn complete(jars: &Path) -> bool {
    fs::read_to_string(jars.join("pom.xml")).is_ok_and(|pom| pom == POM)
}

/// Runs a program to its end, nothing of it on our standard output.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| Error::Spawn { program: name.to_owned(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(Error::Failed { program: name.to_owned(), status: output.status, output: last_lines(&text, 20) })
}

fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

pub(crate) fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(n)..].join("\n")
}
