//! Taking a stack away, for one that was there for a while only.

use crate::options::{Options, OptionsError};
use redis::{ProtocolVersion, RedisError};

/// Why keys of a stack are still there.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The options can never work.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Redis failed.
    #[error("Redis failed at removing a stack's keys")]
    Redis(#[from] RedisError),
}

/// Deletes all keys of a stack. Its processes must have ended: else they make them again.
///
/// # Errors
/// When the options are not sound, or Redis fails. Part of it may be deleted.
pub async fn remove(options: &Options) -> Result<(), RemoveError> {
    options.check_prefix()?;
    let client = options.client(ProtocolVersion::RESP2)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let pattern = format!("{}:*", options.prefix);
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1_000);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut connection).await?;
        if !keys.is_empty() {
            redis::cmd("DEL").arg(keys).query_async::<()>(&mut connection).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}
