//! Apache Kafka: one node that is broker and controller, from jars.

use super::{create, write};
use crate::{Error, Result, install};
use std::path::Path;
use std::process::Command;

/// Brokers of 4.x need it.
const JAVA: u32 = 17;

pub(super) fn prepare(folder: &Path, ports: &[u16], jars: &Path) -> Result<Command> {
    java_is_new_enough()?;
    let data = folder.join("data");
    create(&data)?;
    let config = folder.join("server.properties");
    write(&config, &properties(&data, ports))?;
    let classes = jars.join("*");
    if !data.join("meta.properties").exists() {
        let mut format = Command::new("java");
        format.arg("-Xmx128m").arg("-XX:+UseSerialGC").arg("-XX:TieredStopAtLevel=1").arg("-cp").arg(&classes);
        format.args(["kafka.tools.StorageTool", "format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAQ", "--config"]);
        install::run("formatting Kafka's folder", format.arg(&config).current_dir(folder))?;
    }
    let mut command = Command::new("java");
    command.current_dir(folder).args(["-Xms512m", "-Xmx512m", "-XX:+UseSerialGC"]);
    for setting in [
        "defaultLogLevel=warn",
        // Here it says that it serves.
        "log.kafka.server=info",
        "showDateTime=true",
        "dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    ] {
        command.arg(format!("-Dorg.slf4j.simpleLogger.{setting}"));
    }
    command.arg("-cp").arg(&classes).arg("kafka.Kafka").arg(&config);
    Ok(command)
}

fn properties(data: &Path, ports: &[u16]) -> String {
    let (broker, controller) = (ports[0], ports[1]);
    let data = data.display();
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
num.partitions=8
auto.create.topics.enable=false
message.max.bytes=4194304
# One node: the internal topics must not ask for three replicas.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A test's group must not wait 3 s for more members.
group.initial.rebalance.delay.ms=0
"
    )
}

fn java_is_new_enough() -> Result<()> {
    let unfit = |what: String| Error::Unfit(format!("Kafka needs Java {JAVA} or newer: {what}"));
    let output = Command::new("java").arg("-version").output();
    let output = output.map_err(|error| unfit(format!("cannot start java ({error})")))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match java_version(&text) {
        Some(version) if version >= JAVA => Ok(()),
        _ => Err(unfit(format!("`java -version` says {:?}", text.lines().next().unwrap_or_default()))),
    }
}

/// The major version, as in `openjdk version "17.0.15"`. Old ones call themselves 1.8 and are too old either way.
fn java_version(text: &str) -> Option<u32> {
    text.split('"').nth(1)?.split(['.', '-', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_java() {
        assert_eq!(java_version("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(java_version("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(java_version("openjdk version \"25-ea\" 2025"), Some(25));
        assert_eq!(java_version("java version \"1.8.0_402\""), Some(1));
        assert_eq!(java_version("command not found"), None);
    }
}
