//! Taking a stack away, for one that was there for a while only.

use crate::error::Error;
use crate::link::connect_once;
use crate::names::{Names, Target};
use crate::options::Options;
use aidt_domain::{PartitionId, Pool};
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};

/// Deletes all queues and exchanges of a stack with these pools and so many partitions, and what they hold.
/// Its processes must have ended: else they declare them again. What is not there is passed over.
///
/// # Errors
/// When the options are not sound, or the broker fails. Part of it may be deleted.
pub async fn remove(options: &Options, pools: &[Pool], partitions: u16) -> Result<(), Error> {
    options.check()?;
    let names = Names::new(options.prefix.clone());
    let steps = pools.iter().cloned().map(Target::Steps);
    let targets: Vec<Target> = steps.chain((0..partitions).map(|p| Target::Commands(PartitionId(p)))).collect();
    let connection = connect_once(options, "removing a stack").await?;
    let removed = async {
        let channel = connection.create_channel().await?;
        let queues = targets.iter().map(|target| names.queue(target)).chain([names.incarnation()]);
        for queue in queues {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        }
        for exchange in targets.iter().map(|target| names.mark(target)).chain([names.nudge()]) {
            channel.exchange_delete(exchange, ExchangeDeleteOptions::default()).await?;
        }
        Ok(())
    };
    removed.await.map_err(Error::amqp("removing a stack"))
}
