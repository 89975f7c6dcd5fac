//! Postgres. It refuses to run as root: then it runs as the user of the Debian package.

use super::{create, tls};
use crate::process::{eventually, pids};
use crate::{Error, Result, install};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The package's user, and the home that it can write to.
struct User {
    uid: u32,
    gid: u32,
    home: PathBuf,
}

pub(super) fn prepare(folder: &Path, ports: &[u16]) -> Result<Command> {
    let user = user()?;
    let data = data(folder, user.as_ref())?;
    let made_by = fs::read_to_string(data.join("PG_VERSION")).ok();
    let version = made_by.as_deref().map(str::trim);
    let binaries = binaries(version).ok_or_else(|| {
        Error::Unfit(format!(
            "no Postgres{} in /usr/lib/postgresql or PATH (on Debian: apt-get install postgresql)",
            version.map(|version| format!(" {version}, which made {},", data.display())).unwrap_or_default()
        ))
    })?;
    if version.is_none() {
        let mut initdb = command(&binaries.join("initdb"), user.as_ref());
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"]);
        install::run("initdb", &mut initdb)?;
    } else {
        clear_after_a_crash(&data)?;
    }
    let mut command = command(&binaries.join("postgres"), user.as_ref());
    command.arg("-D").arg(&data);
    for setting in [
        &format!("port={}", ports[0]),
        "listen_addresses=127.0.0.1",
        // A path in a deep folder is longer than a socket's may be.
        "unix_socket_directories=",
        "max_connections=300",
        "fsync=on",
        "synchronous_commit=on",
        "timezone=UTC",
        "log_timezone=UTC",
        "log_checkpoints=off",
    ] {
        command.args(["-c", setting]);
    }
    if let Some(tls) = tls::files(folder) {
        let (certificate, key) = (data.join("server.crt"), data.join("server.key"));
        // A key that others can read, or that is another's, it refuses.
        for (from, to) in [(&tls.certificate, &certificate), (&tls.key, &key)] {
            fs::copy(from, to).map_err(Error::file("write", to))?;
            fs::set_permissions(to, fs::Permissions::from_mode(0o600)).map_err(Error::file("close", to))?;
            if let Some(user) = &user {
                chown(to, Some(user.uid), Some(user.gid)).map_err(Error::file("give away", to))?;
            }
        }
        command.args(["-c", "ssl=on"]);
    }
    Ok(command)
}

/// The folder of the programs: of this major version, or of the newest.
pub(crate) fn binaries(version: Option<&str>) -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").is_file())
        .collect();
    versions.sort();
    match version {
        Some(wanted) => versions.into_iter().find(|(version, _)| wanted.parse() == Ok(*version)).map(|(_, path)| path),
        None => versions.pop().map(|(_, path)| path),
    }
    .or_else(|| install::program("initdb").and_then(|file| file.parent().map(Path::to_owned)))
}

fn command(program: &Path, user: Option<&User>) -> Command {
    let mut command = Command::new(program);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid).env("HOME", &user.home);
    }
    // The caller's folder may be closed to that user.
    command.current_dir("/");
    command
}

/// Another user to run as, if we are root.
fn user() -> Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let path = Path::new("/etc/passwd");
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    let line = text.lines().find(|line| line.starts_with("postgres:"));
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()?, home: fields.get(5)?.into() })
    };
    line.and_then(parse).map(Some).ok_or_else(|| {
        Error::Unfit("Postgres does not run as root, and there is no user `postgres` in /etc/passwd".to_owned())
    })
}

/// Where the data is: in the server's folder; if the user may not go there (root's home is closed), in the
/// user's home, with a link.
fn data(folder: &Path, user: Option<&User>) -> Result<PathBuf> {
    let data = folder.join("data");
    let Some(user) = user else {
        create(&data)?;
        return Ok(data);
    };
    let place = if folder.ancestors().all(|f| is_open(f, user)) {
        data
    } else {
        let mut hasher = DefaultHasher::new();
        folder.hash(&mut hasher);
        let place = user.home.join(format!("aidt-{:016x}", hasher.finish()));
        if fs::read_link(&data).is_err() {
            symlink(&place, &data).map_err(Error::file("create", &data))?;
        }
        place
    };
    create(&place)?;
    chown(&place, Some(user.uid), Some(user.gid)).map_err(Error::file("give away", &place))?;
    Ok(place)
}

fn is_open(folder: &Path, user: &User) -> bool {
    fs::metadata(folder).is_ok_and(|m| m.mode() & 0o001 != 0 || (m.uid() == user.uid && m.mode() & 0o100 != 0))
}

/// Waits for the children of a server that was killed, since a new one refuses to start beside them; then
/// removes its pid file: where nobody reaps orphans, Postgres would take the dead process for a living one.
fn clear_after_a_crash(data: &Path) -> Result<()> {
    let file = data.join("postmaster.pid");
    if !file.exists() {
        return Ok(());
    }
    let folder = fs::canonicalize(data).map_err(Error::file("find", data))?;
    let is_there = |pid: i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    // If one stays, the server says so itself.
    if eventually(Duration::from_secs(10), || !pids().any(is_there)) {
        fs::remove_file(&file).map_err(Error::file("remove", &file))?;
    }
    Ok(())
}
