//! Bringing runs and their plans into memory, and what becomes of those that cannot be worked on.

use crate::owner::Owner;
use crate::plans::Plan;
use crate::turn::Source;
use aidt_domain::{Command, CommandBody, ErrorCode, Failure, PartitionId, RunId, RunRow, RunState, Start};
use aidt_engine::Run;
use aidt_store::StoreError;
use aidt_telemetry::timed;
use std::sync::Arc;

impl Owner {
    pub(crate) async fn load_for(&mut self, commands: &[(PartitionId, Command, Source)]) -> Result<(), StoreError> {
        let mut runs: Vec<RunId> = commands.iter().map(|(_, c, _)| c.run).collect();
        runs.sort_unstable();
        runs.dedup();
        let snapshots = commands.iter().filter_map(|(_, c, _)| match &c.body {
            CommandBody::Start(start) => Some(start.snapshot),
            _ => None,
        });
        let snapshots: Vec<_> = snapshots.collect();
        self.load_plans(&snapshots).await?;
        self.load(&runs).await
    }

    /// Brings runs into memory, in one query, with their plans.
    pub(crate) async fn load(&mut self, runs: &[RunId]) -> Result<(), StoreError> {
        let mut missing: Vec<RunId> = runs.iter().copied().filter(|r| !self.cache.contains(*r)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let stored = self.load_rows(&missing).await?;
        let digests: Vec<_> = stored.iter().map(|s| s.row.snapshot).collect();
        self.load_plans(&digests).await?;
        for s in stored {
            let id = s.row.id;
            let loaded = match self.plans.get(s.row.snapshot) {
                Some(plan) => Run::load(Arc::clone(&plan.graph), s.row, s.steps).map(|run| (run, plan)),
                None => continue,
            };
            match loaded {
                Ok((run, plan)) => self.cache.insert(run, plan),
                Err(error) => self.condemn(id, error.to_string()),
            }
        }
        Ok(())
    }

    /// Rows of runs; a run whose rows cannot be read is condemned, and the others are not held up by it.
    pub(crate) async fn load_rows(&mut self, runs: &[RunId]) -> Result<Vec<aidt_store::StoredRun>, StoreError> {
        let log = self.ports.store.run_log.clone();
        match timed("load", log.load(runs)).await {
            Err(error) if !error.is_transient() => {}
            result => return result,
        }
        let mut stored = Vec::new();
        for &run in runs {
            match log.load(&[run]).await {
                Ok(rows) => stored.extend(rows),
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => self.condemn(run, error.to_string()),
            }
        }
        Ok(stored)
    }

    /// The run cannot be worked on: the next turn that can ends it.
    pub(crate) fn condemn(&mut self, run: RunId, message: String) {
        tracing::error!(%run, message, "a run cannot be worked on");
        if self.condemned.insert(run, Failure::fatal(ErrorCode::Internal, message)).is_some() {
            self.beyond_help.insert(run);
        }
    }

    /// Another owner had the partition: what could not be worked on here may have gone through there.
    pub(crate) fn absolve(&mut self, partition: PartitionId) {
        let count = self.ports.store.run_log.partitions();
        let elsewhere = |run: &RunId| PartitionId::of(*run, count) != partition;
        self.condemned.retain(|run, _| elsewhere(run));
        self.beyond_help.retain(elsewhere);
    }

    pub(crate) async fn load_plans(&mut self, digests: &[aidt_domain::Digest]) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        for &digest in digests {
            if self.plans.get(digest).is_none() && !missing.contains(&digest) {
                missing.push(digest);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let catalog = self.ports.store.catalog.clone();
        match timed("documents", catalog.documents(&missing)).await {
            Ok(documents) => {
                for (digest, document) in missing.into_iter().zip(documents) {
                    self.keep_plan(digest, Plan::compile(digest, &document));
                }
            }
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => {
                for digest in missing {
                    let plan = match catalog.documents(&[digest]).await {
                        Ok(documents) => documents.first().map(|d| Plan::compile(digest, d)),
                        Err(error) if error.is_transient() => return Err(error),
                        Err(error) => Some(Err(Failure::fatal(ErrorCode::Internal, error.to_string()))),
                    };
                    plan.into_iter().for_each(|plan| self.keep_plan(digest, plan));
                }
            }
        }
        Ok(())
    }

    /// A snapshot that cannot be used stands for itself, without steps: its runs end with the reason.
    pub(crate) fn keep_plan(&mut self, digest: aidt_domain::Digest, plan: Result<Plan, Failure>) {
        let plan = plan.unwrap_or_else(|failure| {
            tracing::error!(%digest, %failure, "a stored snapshot cannot be used");
            Plan::unusable(digest)
        });
        self.plans.insert(digest, Arc::new(plan));
    }

    /// A start makes its run; false when its plan cannot be used (the run is condemned then).
    pub(crate) fn create(&mut self, command: &Command, start: &Start, partition: PartitionId) -> bool {
        // By the clock of a gateway, which may be ahead: no later time of the run is before this one, so its timers
        // would wait until the store's clock has caught up.
        let created_at = start.accepted_at.min(self.now());
        let Some(plan) = self.plans.get(start.snapshot) else { return false };
        let snapshot = plan.graph.snapshot();
        let mut labels = snapshot.labels.clone();
        labels.extend(start.labels.clone());
        let row = RunRow {
            project: command.project.clone(),
            id: command.run,
            partition,
            snapshot: start.snapshot,
            plan: snapshot.name.clone(),
            state: RunState::Created,
            last_seq: aidt_domain::Seq(0),
            inputs: None,
            outputs: None,
            error: None,
            head: None,
            priority: snapshot.priority,
            labels,
            submitted_by: command.actor.0.clone(),
            traceparent: command.traceparent.clone(),
            budget: aidt_domain::Budget::default(),
            created_at,
            updated_at: created_at,
            ended_at: None,
        };
        if plan.graph.is_empty() {
            let what = "its snapshot is not there, has no steps, or cannot be used by this version";
            self.condemned.insert(command.run, Failure::fatal(ErrorCode::Internal, what));
        }
        self.cache.insert(Run::new(Arc::clone(&plan.graph), row), plan);
        if let Some(cached) = self.cache.get(command.run) {
            let value = serde_json::Value::Object(start.inputs.clone());
            cached.inputs = Some(crate::cache::Kept {
                len: 0,
                value: Arc::new(value),
                labels: Arc::new(start.input_labels.clone()),
            });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Ports};
    use crate::owner::Owner;
    use aidt_domain::{Clock, FORMAT, PartitionId, ProcessId, RunId, Timestamp};
    use aidt_policy::{ActivePolicy, Bundle};
    use aidt_store::{Store, StoreError};
    use std::sync::Arc;
    use uuid::Uuid;

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp(1)
        }
    }

    #[tokio::test]
    async fn a_run_is_condemned_for_as_long_as_nobody_else_had_its_partition() -> Result<(), StoreError> {
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let store = Store::new(aidt_store::memory::MemoryStore::new(1, Arc::clone(&clock)));
        let queue = Arc::new(aidt_queue::memory::MemoryQueue::new(Arc::clone(&clock), "q".into()));
        let locks = Arc::new(aidt_lock::memory::MemoryLocks::new());
        let policy = Arc::new(ActivePolicy::new(Bundle::shipped()));
        let ports = Ports { store: store.clone(), queue, locks, clock, policy };
        let (mut owner, _) = Owner::build(Config::new(ProcessId(Uuid::from_u128(1))), ports);
        let (partition, run) = (PartitionId(0), RunId(Uuid::from_u128(7)));

        owner.take(partition).await?;
        owner.condemn(run, "its rows cannot be read".into());
        owner.condemn(run, "nor can it be ended".into());
        owner.forget(partition);
        owner.take(partition).await?;
        assert!(owner.condemned.contains_key(&run) && owner.beyond_help.contains(&run));

        store.run_log.take(partition, ProcessId(Uuid::from_u128(2)), FORMAT).await?;
        owner.forget(partition);
        owner.take(partition).await?;
        assert!(owner.condemned.is_empty() && owner.beyond_help.is_empty());
        Ok(())
    }
}
