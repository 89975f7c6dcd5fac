//! RabbitMQ, with a port mapper (epmd) of its own: the one of the machine listens on every address.

use super::{create, tls, write};
use crate::{Error, Result, install};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name is the same everywhere, since each instance has its own port mapper.
const NODE: &str = "aidt@localhost";

const CONFIG: &str = "\
disk_free_limit.absolute = 64MB
vm_memory_high_watermark.absolute = 2GB
log.console.level = info
log.connection.level = warning
";

/// The script that becomes the server. Debian's wrapper in PATH changes the user and the log, so it comes last.
pub(crate) fn script() -> Option<PathBuf> {
    let debian = PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server");
    Some(debian).filter(|file| file.is_file()).or_else(|| install::program("rabbitmq-server"))
}

pub(super) fn prepare(folder: &Path, ports: &[u16]) -> Result<Command> {
    let script = script().ok_or_else(|| {
        Error::Unfit("RabbitMQ is not installed (on Debian: apt-get install rabbitmq-server)".to_owned())
    })?;
    let data = folder.join("data");
    create(&data)?;
    let mut config = CONFIG.to_owned();
    if let (Some(tls), Some(port)) = (tls::files(folder), ports.get(3)) {
        let (certificate, key) = (tls.certificate.display(), tls.key.display());
        config += &format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {certificate}\n\
             ssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n\
             ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n"
        );
    }
    write(&folder.join("rabbitmq.conf"), &config)?;
    write(&folder.join("enabled_plugins"), "[].\n")?;
    write(&folder.join("rabbitmq-env.conf"), "")?;
    let mut command = Command::new(script);
    erlang(&mut command, folder, ports);
    command
        // Replaces the shell by the server, so that its pid and its signals are the server's.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env_remove("NOTIFY_SOCKET")
        .env("RABBITMQ_NODENAME", NODE)
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", ports[0].to_string())
        .env("RABBITMQ_DIST_PORT", ports[1].to_string())
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .env("RABBITMQ_CONF_ENV_FILE", folder.join("rabbitmq-env.conf"))
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", folder.join("advanced.config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
        .env("RABBITMQ_MNESIA_BASE", &data)
        .env("RABBITMQ_PID_FILE", data.join("pid"))
        .env("RABBITMQ_LOG_BASE", folder)
        .env("RABBITMQ_LOGS", "-");
    Ok(command)
}

/// The port mapper: a server finds it running and does not start one.
pub(crate) fn port_mapper(folder: &Path, ports: &[u16]) -> Command {
    let mut command = Command::new("epmd");
    command.args(["-port", &ports[2].to_string(), "-address", "127.0.0.1"]);
    erlang(&mut command, folder, ports);
    command
}

/// The program that tells a running server what to do. Debian's wrapper in PATH changes the user.
pub(crate) fn control(folder: &Path, ports: &[u16]) -> Command {
    let debian = PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmqctl");
    let mut command = Command::new(if debian.is_file() { debian } else { "rabbitmqctl".into() });
    erlang(&mut command, folder, ports);
    command.args(["--node", NODE]);
    command
}

/// HOME holds Erlang's cookie.
fn erlang(command: &mut Command, folder: &Path, ports: &[u16]) {
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env("ERL_EPMD_PORT", ports[2].to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
}
