//! Who listens to the pools that this process publishes to.
//!
//! The number of consumers says over how many messages a batch is spread. And a pool's queue that goes
//! while nobody listens is noticed here: whoever listens, or publishes, notices by itself.

use crate::names::Target;
use crate::topology::Topology;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Messages a consumer finds in a batch, if there are that many envelopes: with one each, the quick would
/// wait for the slow.
const EACH: usize = 2;

/// Before the consumers of a pool have been counted.
const UNCOUNTED: usize = 8;

/// More would be one envelope a message.
const MOST: usize = 32;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Every so many looks the incarnation is read, also where nobody asks for it: streams are opened anew when
/// it changed.
const LOSSES_EVERY: u32 = 5;

/// A pool that nothing was published to for so long is nobody's worry here.
const FORGET_AFTER: Duration = Duration::from_secs(120);

/// The pools published to lately, with their number of consumers.
#[derive(Default)]
pub(crate) struct Audience {
    pools: Mutex<BTreeMap<Target, Pool>>,
}

struct Pool {
    consumers: usize,
    published: Instant,
}

impl Audience {
    /// Over how many messages a batch for this target is spread. A partition has one owner.
    pub(crate) fn spread(&self, target: &Target) -> usize {
        let Target::Steps(_) = target else { return 1 };
        let now = Instant::now();
        let mut pools = self.pools();
        let pool = pools.entry(target.clone()).or_insert(Pool { consumers: UNCOUNTED, published: now });
        pool.published = now;
        (EACH * pool.consumers).clamp(1, MOST)
    }

    /// Looks at them for as long as it runs.
    pub(crate) async fn follow(self: Arc<Self>, topology: Arc<Topology>) {
        for look in 1_u32.. {
            sleep(LOOK_EVERY).await;
            if look.is_multiple_of(LOSSES_EVERY)
                && let Err(error) = topology.incarnation().current().await
            {
                tracing::debug!(%error, "the incarnation is read again in a while");
            }
            let targets: Vec<Target> = {
                let mut pools = self.pools();
                pools.retain(|_, pool| pool.published.elapsed() < FORGET_AFTER);
                pools.keys().cloned().collect()
            };
            for target in targets {
                let looked = match topology.consumers(&target).await {
                    Ok(Some(count)) => {
                        if let Some(pool) = self.pools().get_mut(&target) {
                            pool.consumers = if count == 0 { UNCOUNTED } else { count };
                        }
                        Ok(())
                    }
                    Ok(None) => topology.restore(&[target]).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = looked {
                    tracing::debug!(%error, "the pools are looked at again in a second");
                    break;
                }
            }
        }
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<Target, Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidt_domain::PartitionId;

    #[tokio::test]
    async fn batches_are_spread_over_the_consumers_of_a_pool_and_not_over_a_partitions_one() {
        let audience = Audience::default();
        let pool = Target::Steps(aidt_domain::Pool::new("p").unwrap());
        assert_eq!(audience.spread(&Target::Commands(PartitionId(0))), 1);
        assert_eq!(audience.spread(&pool), EACH * UNCOUNTED);
        for (consumers, spread) in [(1, 2), (3, 6), (100, MOST)] {
            audience.pools().get_mut(&pool).unwrap().consumers = consumers;
            assert_eq!(audience.spread(&pool), spread);
        }
    }
}
