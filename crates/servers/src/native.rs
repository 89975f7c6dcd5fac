//! The servers as processes of this machine: what is written before each start, and the command.

pub(crate) mod kafka;
pub(crate) mod postgres;
pub(crate) mod rabbitmq;
mod redis;
pub(crate) mod tls;

use crate::{Error, Kind, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A part of a line of its log without which an answer does not count.
pub(crate) fn ready_line(kind: Kind) -> Option<&'static str> {
    // The port opens before the broker is unfenced.
    (kind == Kind::Kafka).then_some("Kafka Server started")
}

/// Writes what the server needs in its folder, and gives the command that starts it. What is there of an
/// earlier run is kept.
pub(crate) fn prepare(kind: Kind, folder: &Path, ports: &[u16], jars: &Path) -> Result<Command> {
    match kind {
        Kind::Postgres => postgres::prepare(folder, ports),
        Kind::Redis => redis::prepare(folder, ports),
        Kind::RabbitMq => rabbitmq::prepare(folder, ports),
        Kind::Kafka => kafka::prepare(folder, ports, jars),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::file("write", path))
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::file("create", folder))
}

/// Removes what the server stored, wherever that is.
pub(crate) fn remove_data(folder: &Path) -> Result<()> {
    let data = folder.join("data");
    if let Ok(target) = fs::read_link(&data) {
        if target.exists() {
            fs::remove_dir_all(&target).map_err(Error::file("remove", &target))?;
        }
        return fs::remove_file(&data).map_err(Error::file("remove", &data));
    }
    if data.exists() { fs::remove_dir_all(&data).map_err(Error::file("remove", &data)) } else { Ok(()) }
}
