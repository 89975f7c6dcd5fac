//! What must happen even if nobody says so, once a second.

use crate::owner::Owner;
use crate::takeover::{HORIZON, PIECE, UNCLAIMED, bounded, own_command};
use aidt_domain::{CommandBody, PartitionId, RunId, StepIx, StepState, Timestamp};
use aidt_store::StoreError;

/// Timer rows are read this long before the horizon is reached.
const REFILL_BEFORE_MS: i64 = 10_000;

impl Owner {
    /// Looks after leases, processes, inboxes, timers, and what was handed out long ago.
    pub(crate) async fn look_after(&mut self) {
        if let Err(error) = self.look_at_processes().await {
            return self.trouble("looking at processes", &error);
        }
        self.balance().await;
        if let Err(error) = self.look_after_held().await {
            self.trouble("looking after partitions", &error);
            self.give_back().await;
        }
    }

    async fn look_after_held(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        let wiped = self.was_wiped().await;
        if let Some(incarnation) = &wiped {
            self.queue_is_another(incarnation);
        }
        let partitions: Vec<PartitionId> = self.held.keys().copied().collect();
        for partition in partitions {
            // A missed nudge costs a tick.
            if let Some(held) = self.held.get_mut(&partition) {
                held.look_into_inbox = true;
            }
            self.refill_timers(partition, now).await?;
            let owed = self.look_at_out(partition, now, wiped.is_some());
            self.load(&owed.iter().map(|(run, _)| *run).collect::<Vec<_>>()).await?;
            if wiped.is_some() {
                self.lower_published(partition, &owed);
            }
            self.owe(partition, &owed).await?;
            if let (Some(incarnation), Some(held)) = (&wiped, self.held.get_mut(&partition)) {
                held.incarnation.clone_from(incarnation);
            }
        }
        Ok(())
    }

    /// The broker's new incarnation, if what was queued may be gone.
    async fn was_wiped(&self) -> Option<String> {
        let now = self.ports.queue.incarnation().await.ok()?;
        self.held.values().any(|h| h.incarnation != now).then_some(now)
    }

    pub(crate) async fn refill_timers(&mut self, partition: PartitionId, now: Timestamp) -> Result<(), StoreError> {
        let Some(held) = self.held.get(&partition) else { return Ok(()) };
        if held.timers.horizon().0 - now.0 > REFILL_BEFORE_MS {
            return Ok(());
        }
        let horizon = now.plus(HORIZON);
        let (rows, next) = self.ports.store.run_log.timers(partition, horizon, PIECE).await?;
        if let Some(held) = self.held.get_mut(&partition) {
            held.timers.refill(rows, bounded(horizon, next));
        }
        Ok(())
    }

    /// What was handed out and not heard of: running too long (the backstop), or unclaimed for a while
    /// though its pool has free slots, or in a queue that was wiped.
    fn look_at_out(&mut self, partition: PartitionId, now: Timestamp, wiped: bool) -> Vec<(RunId, StepIx)> {
        let mut owed = Vec::new();
        let busy = self.busy();
        let Some(held) = self.held.get_mut(&partition) else { return owed };
        for (&(run, ix), out) in &mut held.out {
            let claimed =
                out.process.is_some() || self.cache.peek(run).is_some_and(|c| c.run.state(ix) == StepState::Running);
            if claimed {
                if out.look_at <= now {
                    out.look_at = now.plus(UNCLAIMED);
                    held.own.push_back(own_command(run, CommandBody::TimerDue { step: Some(ix) }));
                }
                continue;
            }
            let free =
                self.slots.get(&out.pool).copied().unwrap_or(0) as usize > busy.get(&out.pool).copied().unwrap_or(0);
            if wiped || (out.look_at <= now && free) {
                out.republished += 1;
                if let Some(instruments) = aidt_telemetry::instruments() {
                    instruments.republished(out.pool.as_str());
                }
                out.look_at = now.plus(UNCLAIMED * (1 << out.republished.min(4)).min(10));
                owed.push((run, ix));
            }
        }
        owed
    }

    /// Claimed steps, by pool.
    fn busy(&self) -> std::collections::BTreeMap<aidt_domain::Pool, usize> {
        let mut busy = std::collections::BTreeMap::new();
        for out in self.held.values().flat_map(|h| h.out.values()).filter(|o| o.process.is_some()) {
            *busy.entry(out.pool.clone()).or_default() += 1;
        }
        busy
    }
}
