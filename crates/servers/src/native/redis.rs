//! Redis, every write in its append-only file.

use super::{create, write};
use crate::Result;
use std::path::Path;
use std::process::Command;

pub(super) fn prepare(folder: &Path, ports: &[u16]) -> Result<Command> {
    create(&folder.join("data"))?;
    let config = folder.join("redis.conf");
    let text = format!(
        "bind 127.0.0.1\nport {}\ndir \"{}\"\ndaemonize no\nsave \"\"\nappendonly yes\nappendfsync everysec\n",
        ports[0],
        folder.join("data").display()
    );
    write(&config, &text)?;
    let mut command = Command::new("redis-server");
    command.arg(&config);
    Ok(command)
}
