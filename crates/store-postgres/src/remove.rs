//! Taking a stack away, for one that was there for a while only.

use crate::error::Error;
use crate::limits::run;
use crate::options::Options;
use sqlx::ConnectOptions as _;

/// Drops the schema of a stack, and all that is in it. Its processes must have ended.
///
/// # Errors
/// When the options are not sound, or the database fails; then nothing was dropped.
pub async fn remove(options: &Options) -> Result<(), Error> {
    let session = options.session()?;
    let at = format!("{}:{}", session.get_host(), session.get_port());
    let refused = |source| Error::Database { doing: "drop a schema", at: at.clone(), source };
    let mut connection = session.connect().await.map_err(refused)?;
    run(&mut connection, format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", options.schema)).await.map_err(refused)
}
