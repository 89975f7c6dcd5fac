//! Redis, every write in its append-only file.

use super::{create, tls, write};
use crate::Result;
use std::path::Path;
use std::process::Command;

pub(super) fn prepare(folder: &Path, ports: &[u16]) -> Result<Command> {
    create(&folder.join("data"))?;
    let config = folder.join("redis.conf");
    let mut text = format!(
        "bind 127.0.0.1\nport {}\ndir \"{}\"\ndaemonize no\nsave \"\"\nappendonly yes\nappendfsync everysec\n",
        ports[0],
        folder.join("data").display()
    );
    if let (Some(tls), Some(port)) = (tls::files(folder), ports.get(1)) {
        text += &format!(
            "tls-port {port}\ntls-cert-file \"{}\"\ntls-key-file \"{}\"\ntls-auth-clients no\n",
            tls.certificate.display(),
            tls.key.display()
        );
    }
    write(&config, &text)?;
    let mut command = Command::new("redis-server");
    command.arg(&config);
    Ok(command)
}
