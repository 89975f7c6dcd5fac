//! What plants around the owner's loads and commits need.

use crate::process::Process;
use crate::shared::now;
use aidt_domain::{PartitionId, RunId, Seq};
use aidt_lock::Locks;
use aidt_store::memory::MemoryStore;
use aidt_store::{Batch, NewRun, OpenStep, RunFilter, RunLog, StoredRun};
use aidt_store::{History, SegmentRow};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What was read of partitions before they were taken; used until the next commit.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<BTreeMap<PartitionId, Snapshot>>);

#[derive(Debug)]
struct Snapshot {
    open: Vec<OpenStep>,
    ready: Vec<OpenStep>,
    runs: BTreeMap<RunId, StoredRun>,
}

impl Snapshots {
    pub(crate) fn make(&self, store: &MemoryStore, partition: PartitionId) {
        let all = now(store.runs(&RunFilter::default(), None, u32::MAX)).map(|page| page.items).unwrap_or_default();
        let mine: Vec<RunId> = all.iter().filter(|r| r.partition == partition).map(|r| r.id).collect();
        let runs = now(store.load(&mine)).unwrap_or_default();
        let snapshot = Snapshot {
            open: now(store.open_dispatches(partition)).unwrap_or_default(),
            ready: now(store.ready(partition, None, 1_000)).unwrap_or_default(),
            runs: runs.into_iter().map(|run| (run.row.id, run)).collect(),
        };
        self.lock().insert(partition, snapshot);
    }

    pub(crate) fn open(&self, partition: PartitionId) -> Option<Vec<OpenStep>> {
        self.lock().get(&partition).map(|s| s.open.clone())
    }

    pub(crate) fn ready(&self, partition: PartitionId) -> Option<Vec<OpenStep>> {
        self.lock().get(&partition).map(|s| s.ready.clone())
    }

    pub(crate) fn runs(&self, store: &MemoryStore, runs: &[RunId]) -> Option<Vec<StoredRun>> {
        let kept = self.lock();
        if kept.is_empty() {
            return None;
        }
        let of = |run: &RunId| {
            let home = PartitionId::of(*run, store.partitions());
            kept.get(&home).map_or_else(
                || now(store.load(&[*run])).unwrap_or_default().pop(),
                |snapshot| snapshot.runs.get(run).cloned(),
            )
        };
        Some(runs.iter().filter_map(of).collect())
    }

    pub(crate) fn used(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PartitionId, Snapshot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells subscribers of what these batches would make of history.
pub(crate) async fn show_early(process: &Process, batches: &[Batch]) {
    for batch in batches {
        for row in batch.turn.new_runs.iter().map(|new| &new.row).chain(&batch.turn.runs) {
            super::locks::check_visible(
                &process.world,
                &format!("run:{}", row.id),
                row.last_seq.to_string().as_bytes(),
            );
            let message = Bytes::from(row.last_seq.to_string());
            let _ = process.world.locks.publish(&format!("run:{}", row.id), message).await;
        }
    }
}

/// The same transaction again, by an owner that believes the first did not happen.
pub(crate) fn once_more(mut batches: Vec<Batch>) -> Vec<Batch> {
    for batch in &mut batches {
        batch.batch_id = batch.batch_id.next();
        let mut counts: BTreeMap<RunId, u64> = BTreeMap::new();
        for segment in &batch.turn.segments {
            *counts.entry(segment.run).or_default() += u64::from(segment.count);
        }
        batch.turn.segments.iter_mut().for_each(|segment| renumber(segment, counts[&segment.run]));
        let new = std::mem::take(&mut batch.turn.new_runs);
        batch.turn.runs.extend(new.into_iter().map(|NewRun { row }| row));
        for row in &mut batch.turn.runs {
            row.last_seq.0 += counts.get(&row.id).copied().unwrap_or(0);
        }
    }
    batches
}

fn renumber(segment: &mut SegmentRow, by: u64) {
    let Ok(mut events) = aidt_proto::decode_segment(&segment.events, &segment.payloads) else { return };
    events.iter_mut().for_each(|event| event.seq.0 += by);
    let written = aidt_proto::encode_segment(&events);
    segment.first_seq = Seq(segment.first_seq.0 + by);
    segment.events = written.events;
    segment.payloads = written.payloads;
}
