//! What the gateway reads.

use super::state::Run;
use super::{MemoryStore, Result};
use crate::types::{PayloadAt, RunFilter, RunPage, SegmentRow, Shown};
use crate::{History, Kind, StoreError};
use aidt_domain::{OutputRef, Project, RunId, RunRow, Seq, StepIx, StepRow};
use async_trait::async_trait;
use bytes::Bytes;

#[async_trait]
impl History for MemoryStore {
    async fn run(&self, project: &Project, run: RunId) -> Result<Option<RunRow>> {
        let state = self.state();
        let found = state.runs.get(&run).map(|stored| &stored.row);
        Ok(found.filter(|row| row.project == *project).cloned())
    }

    async fn runs(&self, filter: &RunFilter, after: Option<RunId>, limit: u32) -> Result<RunPage> {
        let state = self.state();
        let before = match after {
            None => u64::MAX,
            Some(run) => match state.runs.get(&run) {
                Some(stored) => stored.number,
                None => {
                    return Err(StoreError::new("runs", Kind::NotFound, format!("there is no {run}")));
                }
            },
        };
        let newest_first = state.run_numbers.range(..before).rev().map(|(_, run)| &state.runs[run].row);
        let mut matching = newest_first.filter(|row| matches(filter, row)).peekable();
        let items: Vec<RunRow> = matching.by_ref().take(limit as usize).cloned().collect();
        let next = if matching.peek().is_some() { items.last().map(|row| row.id) } else { None };
        Ok(RunPage { items, next })
    }

    async fn steps(&self, run: RunId, after: Option<StepIx>, limit: u32) -> Result<Vec<StepRow>> {
        let state = self.state();
        let steps = state.runs.get(&run).into_iter().flat_map(|stored| stored.steps.values());
        let rest = steps.filter(|row| after.is_none_or(|after| row.ix > after));
        Ok(rest.take(limit as usize).cloned().collect())
    }

    async fn segments(&self, run: RunId, after: Seq, limit: u32) -> Result<Vec<SegmentRow>> {
        let state = self.state();
        let Some(Run { segments, .. }) = state.runs.get(&run) else {
            return Ok(Vec::new());
        };
        let next = Seq(after.0.saturating_add(1));
        let first = segments.range(..=next).next_back().map_or(next, |(first, _)| *first);
        let rest = segments.range(first..).map(|(_, segment)| segment);
        let rest = rest.filter(|segment| segment.first_seq.0 + u64::from(segment.count) > next.0);
        Ok(rest.take(limit as usize).cloned().collect())
    }

    async fn payload(&self, at: &PayloadAt) -> Result<Bytes> {
        self.state().payload("payload", at)
    }

    async fn shown(&self, run: RunId, payloads: &[OutputRef]) -> Result<Shown> {
        let state = self.state();
        let mut shown = Shown::default();
        for row in state.runs.get(&run).into_iter().flat_map(|stored| stored.steps.values()) {
            *shown.states.entry(row.state).or_default() += 1;
        }
        let read = payloads.iter().map(|at| state.payload("shown", &(run, at.clone())));
        shown.payloads = read.collect::<Result<_>>()?;
        Ok(shown)
    }
}

fn matches(filter: &RunFilter, row: &RunRow) -> bool {
    row.project == filter.project
        && (filter.states.is_empty() || filter.states.contains(&row.state))
        && filter.plan.as_ref().is_none_or(|plan| *plan == row.plan)
        && filter.labels.iter().all(|(key, value)| row.labels.get(key) == Some(value))
}
