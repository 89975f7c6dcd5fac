//! What Redis runs for us, each atomically.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind};

/// A script and its digest, by which Redis knows it once it has seen it.
pub(crate) struct Script {
    code: &'static str,
    digest: String,
}

/// All of them.
pub(crate) struct Scripts {
    pub(crate) lease: Script,
    pub(crate) release: Script,
    pub(crate) list: Script,
    pub(crate) take: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            lease: Script::new(include_str!("scripts/lease.lua")),
            release: Script::new(include_str!("scripts/release.lua")),
            list: Script::new(include_str!("scripts/list.lua")),
            take: Script::new(concat!(include_str!("scripts/gcra.lua"), include_str!("scripts/take.lua"))),
        }
    }
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, digest: redis::Script::new(code).get_hash().to_owned() }
    }

    /// By digest; in full where Redis does not know it (any more).
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        keys: &[&[u8]],
        arguments: &[&[u8]],
    ) -> RedisResult<T> {
        let known = command("EVALSHA", &self.digest, keys, arguments);
        match known.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                command("EVAL", self.code, keys, arguments).query_async(connection).await
            }
            result => result,
        }
    }
}

fn command(name: &str, script: &str, keys: &[&[u8]], arguments: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    command
}
