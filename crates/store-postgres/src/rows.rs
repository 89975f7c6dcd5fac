//! Rows of results, cell by cell.

use crate::detail::{self, RunCells};
use crate::error::Failed;
use aidt_domain::{
    BatchId, CommandId, Digest, DispatchNo, Epoch, OutSeq, PartitionId, ProcessId, Project, RunId, RunRow, StepIx,
    StepRow, Timestamp,
};
use aidt_store::{InboxRow, OpenStep, PartitionRow};
use bytes::Bytes;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Row, Type, ValueRef};
use uuid::Uuid;

/// What [`partition_row`] reads.
macro_rules! partition_columns {
    () => {
        "id, epoch, owner, published, out_seq, cursor, batch_id, format, incarnation"
    };
}
pub(crate) use partition_columns;

/// What [`run_row`] reads, of `run_details d` and `runs r`.
macro_rules! run_columns {
    () => {
        "d.id, d.project, d.created_at, d.plan, d.detail, r.state, r.last_seq, r.detail"
    };
}
pub(crate) use run_columns;

/// What [`inbox_row`] reads.
macro_rules! inbox_columns {
    () => {
        "seq, id, project, run, partition, command, at"
    };
}
pub(crate) use inbox_columns;

/// Reads a row's cells one after the other.
pub(crate) struct Cells<'r> {
    row: &'r PgRow,
    at: usize,
}

impl<'r> Cells<'r> {
    pub(crate) fn of(row: &'r PgRow) -> Self {
        Self::from(row, 0)
    }

    /// From this cell on.
    pub(crate) fn from(row: &'r PgRow, at: usize) -> Self {
        Self { row, at }
    }

    pub(crate) fn next<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> Result<T, Failed> {
        self.at += 1;
        Ok(self.row.try_get(self.at - 1)?)
    }

    /// Whether the next cell, which is not read yet, holds anything.
    pub(crate) fn is_some(&self) -> Result<bool, Failed> {
        Ok(!self.row.try_get_raw(self.at)?.is_null())
    }

    /// A number that is stored with its bits in a signed one.
    pub(crate) fn unsigned(&mut self) -> Result<u64, Failed> {
        Ok(self.next::<i64>()?.cast_unsigned())
    }

    /// A number that is stored in a wider one.
    pub(crate) fn small(&mut self) -> Result<u32, Failed> {
        u32::try_from(self.next::<i64>()?).map_err(Failed::corrupt)
    }

    pub(crate) fn slice(&mut self) -> Result<&'r [u8], Failed> {
        self.next()
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, Failed> {
        Ok(Bytes::copy_from_slice(self.slice()?))
    }

    pub(crate) fn text(&mut self) -> Result<String, Failed> {
        detail::text(self.slice()?)
    }

    pub(crate) fn digest(&mut self) -> Result<Digest, Failed> {
        detail::digest(self.slice()?)
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, Failed> {
        Ok(Timestamp(self.next()?))
    }

    pub(crate) fn run(&mut self) -> Result<RunId, Failed> {
        Ok(RunId(self.next()?))
    }

    pub(crate) fn step(&mut self) -> Result<StepIx, Failed> {
        Ok(StepIx(self.small()?))
    }

    pub(crate) fn dispatch(&mut self) -> Result<DispatchNo, Failed> {
        Ok(DispatchNo(self.small()?))
    }

    pub(crate) fn process(&mut self) -> Result<Option<ProcessId>, Failed> {
        Ok(self.next::<Option<Uuid>>()?.map(ProcessId))
    }

    pub(crate) fn project(&mut self) -> Result<Project, Failed> {
        Project::new(self.next()?).map_err(Failed::corrupt)
    }

    pub(crate) fn partition(&mut self) -> Result<PartitionId, Failed> {
        u16::try_from(self.next::<i32>()?).map(PartitionId).map_err(Failed::corrupt)
    }
}

/// Reads [`partition_columns`].
pub(crate) fn partition_row(row: &PgRow) -> Result<PartitionRow, Failed> {
    let mut cells = Cells::of(row);
    Ok(PartitionRow {
        id: cells.partition()?,
        epoch: Epoch(cells.unsigned()?),
        owner: cells.process()?,
        published: OutSeq(cells.unsigned()?),
        out_seq: OutSeq(cells.unsigned()?),
        cursor: cells.next()?,
        batch_id: BatchId(cells.unsigned()?),
        format: cells.small()?,
        incarnation: cells.text()?,
    })
}

/// Reads [`run_columns`].
pub(crate) fn run_row(row: &PgRow, partitions: u16) -> Result<RunRow, Failed> {
    let mut cells = Cells::of(row);
    let read = RunCells {
        id: cells.run()?,
        project: cells.project()?,
        created_at: cells.time()?,
        plan: cells.slice()?,
        begin: cells.slice()?,
        state: cells.next()?,
        last_seq: cells.next()?,
        change: cells.slice()?,
    };
    detail::run_row(read, partitions)
}

/// Reads `ix, state, dispatch, detail`.
pub(crate) fn step_row(cells: &mut Cells<'_>) -> Result<StepRow, Failed> {
    let (ix, state, dispatch) = (cells.step()?, cells.next()?, cells.dispatch()?);
    detail::step_row(ix, state, dispatch, cells.slice()?)
}

/// Reads `run, ix, dispatch`.
pub(crate) fn open_step(row: &PgRow) -> Result<OpenStep, Failed> {
    let mut cells = Cells::of(row);
    Ok(OpenStep { run: cells.run()?, step: cells.step()?, dispatch: cells.dispatch()? })
}

/// Reads [`inbox_columns`].
pub(crate) fn inbox_row(row: &PgRow) -> Result<InboxRow, Failed> {
    let mut cells = Cells::of(row);
    Ok(InboxRow {
        seq: cells.unsigned()?,
        id: CommandId(cells.next()?),
        project: cells.project()?,
        run: cells.run()?,
        partition: cells.partition()?,
        command: cells.bytes()?,
        at: cells.time()?,
    })
}

/// Each row read, or the first that does not make sense.
pub(crate) fn all<T>(rows: &[PgRow], read: impl Fn(&PgRow) -> Result<T, Failed>) -> Result<Vec<T>, Failed> {
    rows.iter().map(read).collect()
}

/// A number of a query as the database counts: what is beyond its reach is at its end.
pub(crate) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
