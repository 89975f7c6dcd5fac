//! Taking a stack away, for one that was there for a while only.

use crate::error::Error;
use crate::options::Options;
use crate::topics::Topics;

/// Deletes all topics of a stack, and what they hold. Its processes must have ended: else they make them again.
/// The groups that hold its offsets go by themselves, as the broker forgets groups without members.
///
/// # Errors
/// When the options are not sound, or the broker fails. Part of it may be deleted.
pub async fn remove(options: &Options) -> Result<(), Error> {
    options.check()?;
    let options = options.clone();
    let removing = tokio::task::spawn_blocking(move || {
        let topics = Topics::connect(&options)?;
        // No prefix holds a dot.
        let names = topics.list(&format!("{}.", options.prefix))?;
        topics.delete(&names)
    });
    removing.await.unwrap_or(Err(Error::Closed))
}
