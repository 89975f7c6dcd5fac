//! To whom a message was that cannot be read: as much as its first fields tell.

use aidt_domain::{DispatchNo, PartitionId, Project, RunId, StepIx};
use prost::encoding::{WireType, decode_key, decode_varint};
use uuid::Uuid;

/// Which dispatch an unreadable step message was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepAddress {
    /// Tenancy.
    pub project: Project,
    /// The run.
    pub run: RunId,
    /// Its partition.
    pub partition: PartitionId,
    /// The step.
    pub step: StepIx,
    /// The dispatch.
    pub dispatch: DispatchNo,
}

/// The dispatch that an unreadable step message was, if it can be told.
#[must_use]
pub fn step_address(body: &[u8]) -> Option<StepAddress> {
    let (mut project, mut run, mut partition, mut step, mut dispatch) = (None, None, 0, 0, None);
    scan(body, |tag, field| match (tag, field) {
        (2, Field::Bytes(bytes)) => project = text(bytes),
        (3, Field::Bytes(bytes)) => run = Uuid::from_slice(bytes).ok(),
        (4, Field::Number(n)) => partition = n,
        (5, Field::Number(n)) => step = n,
        (7, Field::Number(n)) => dispatch = u32::try_from(n).ok(),
        _ => {}
    });
    Some(StepAddress {
        project: project?,
        run: RunId(run?),
        partition: PartitionId(u16::try_from(partition).ok()?),
        step: StepIx(u32::try_from(step).ok()?),
        dispatch: DispatchNo(dispatch?),
    })
}

/// The run that an unreadable command was to, if it can be told.
#[must_use]
pub fn command_address(body: &[u8]) -> Option<(Project, RunId)> {
    let (mut project, mut run) = (None, None);
    scan(body, |tag, field| match (tag, field) {
        (3, Field::Bytes(bytes)) => project = text(bytes),
        (4, Field::Bytes(bytes)) => run = Uuid::from_slice(bytes).ok(),
        _ => {}
    });
    Some((project?, RunId(run?)))
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Reads fields until one cannot be read.
fn scan(mut body: &[u8], mut each: impl FnMut(u32, Field<'_>)) {
    while let Ok((tag, wire)) = decode_key(&mut body) {
        let Ok(number) = decode_varint(&mut body) else { return };
        match wire {
            WireType::Varint => each(tag, Field::Number(number)),
            WireType::LengthDelimited => {
                let Some((bytes, rest)) = usize::try_from(number).ok().and_then(|n| body.split_at_checked(n)) else {
                    return;
                };
                each(tag, Field::Bytes(bytes));
                body = rest;
            }
            // No field of ours is of another type.
            _ => return,
        }
    }
}

fn text(bytes: &[u8]) -> Option<Project> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
