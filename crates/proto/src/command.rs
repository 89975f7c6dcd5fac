//! Commands on their way to a run's owner.

use crate::field::{Fields, labels};
use crate::v1::command_envelope::Body;
use crate::v1::finished::Outcome as WireOutcome;
use crate::wire::{Writer, check_format};
use crate::{DecodeError, v1};
use aidt_domain::{
    Actor, Command, CommandBody, CommandId, DispatchNo, Finished, Outcome, StepIx, Timestamp, WorkspaceChange,
};
use bytes::Bytes;
use prost::Message;

const FIELDS: Fields = Fields("a command envelope");

/// The command is one that an owner makes within its own turn; such never travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a command '{0}' is made by the owner within its turn and cannot be sent")]
pub struct NotAMessage(pub &'static str);

/// A command as a message body or an inbox row. [`NotAMessage`] for what the owner makes itself.
pub fn encode_command(command: &Command) -> Result<Bytes, NotAMessage> {
    let mut w = Writer::envelope(room(&command.body));
    w.optional(2, command.id.as_ref().map(|id| id.0.as_bytes()));
    w.bytes(3, command.project.as_str());
    w.bytes(4, command.run.0.as_bytes());
    w.bytes(5, &command.actor.0);
    w.optional(6, command.traceparent.as_ref());
    match &command.body {
        CommandBody::Start(start) => w.json(10, start),
        CommandBody::Cancel { reason } => w.bytes_always(11, reason),
        CommandBody::Retry(scope) => w.json(12, scope),
        CommandBody::Resolve { step, resolve } => {
            let mut m = Writer::with_capacity(64);
            m.bytes(1, step.as_str());
            m.json(2, resolve);
            w.message(13, &m);
        }
        CommandBody::Finished(finished) => w.message(14, &write_finished(finished)),
        CommandBody::Started { step, dispatch, process, at } => {
            let mut m = Writer::with_capacity(48);
            m.uint(1, u64::from(step.0));
            m.uint(2, u64::from(dispatch.0));
            m.bytes(3, process.0.as_bytes());
            m.int(4, at.0);
            w.message(15, &m);
        }
        CommandBody::Progress { step, dispatch, offset, text } => {
            let mut m = Writer::with_capacity(32 + text.len());
            m.uint(1, u64::from(step.0));
            m.uint(2, u64::from(dispatch.0));
            m.uint(3, *offset);
            m.bytes(4, text);
            w.message(16, &m);
        }
        CommandBody::Conditioned { .. }
        | CommandBody::Judged { .. }
        | CommandBody::Concluded(..)
        | CommandBody::Burned { .. }
        | CommandBody::TimerDue { .. }
        | CommandBody::ProcessDead { .. }
        | CommandBody::Poisoned(_) => return Err(NotAMessage(command.body.name())),
    }
    Ok(w.finish())
}

/// About how many bytes a command takes.
fn room(body: &CommandBody) -> usize {
    match body {
        CommandBody::Finished(finished) => 256 + output_len(&finished.outcome) + finished.log.len(),
        CommandBody::Progress { text, .. } => 160 + text.len(),
        _ => 256,
    }
}

fn output_len(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Done { output, .. } => output.len(),
        _ => 0,
    }
}

fn write_finished(finished: &Finished) -> Writer {
    let mut w = Writer::with_capacity(160 + output_len(&finished.outcome) + finished.log.len());
    w.uint(1, u64::from(finished.step.0));
    w.uint(2, u64::from(finished.dispatch.0));
    w.bytes(3, finished.process.0.as_bytes());
    w.bytes(4, &finished.worker);
    if let Some(at) = finished.started_at {
        w.int_always(5, at.0);
    }
    w.bytes(6, &finished.log);
    match &finished.outcome {
        Outcome::Done { output, labels, workspace } => {
            let mut m = Writer::with_capacity(64 + output.len());
            m.bytes(1, output);
            m.labels(2, labels);
            if let Some(change) = workspace {
                m.bytes_always(3, &change.base);
                m.bytes_always(4, &change.commit);
                change.paths.iter().for_each(|path| m.bytes_always(5, path));
            }
            w.message(10, &m);
        }
        Outcome::Failed(failure) => w.json(11, failure),
        Outcome::Cancelled(failure) => w.json(12, failure),
        Outcome::Released => w.uint_always(13, 1),
        Outcome::Deferred(until) => w.int_always(14, until.0),
        Outcome::Refused(decision) => w.json(15, decision),
    }
    w
}

/// Reads a command. An output and a log share the memory of `body`.
pub fn decode_command(body: &Bytes) -> Result<Command, DecodeError> {
    check_format(FIELDS.0, body)?;
    let command = v1::CommandEnvelope::decode(body.clone()).map_err(|e| DecodeError::malformed_by(FIELDS.0, e))?;
    Ok(Command {
        id: command.id.map(|id| FIELDS.uuid("id", &id)).transpose()?.map(CommandId),
        project: FIELDS.text("project", &command.project)?,
        run: FIELDS.run(&command.run)?,
        actor: Actor(command.actor),
        traceparent: command.traceparent,
        body: read_body(command.body.ok_or_else(|| FIELDS.invalid("body"))?)?,
    })
}

fn read_body(body: Body) -> Result<CommandBody, DecodeError> {
    Ok(match body {
        Body::Start(start) => CommandBody::Start(Box::new(FIELDS.json("start", &start)?)),
        Body::Cancel(reason) => CommandBody::Cancel { reason },
        Body::Retry(scope) => CommandBody::Retry(FIELDS.json("retry", &scope)?),
        Body::Resolve(m) => CommandBody::Resolve {
            step: FIELDS.text("resolve.step", &m.step)?,
            resolve: FIELDS.json("resolve.resolve", &m.resolve)?,
        },
        Body::Finished(finished) => CommandBody::Finished(Box::new(read_finished(finished)?)),
        Body::Started(m) => CommandBody::Started {
            step: StepIx(m.step),
            dispatch: DispatchNo(m.dispatch),
            process: FIELDS.process(&m.process)?,
            at: Timestamp(m.at),
        },
        Body::Progress(m) => CommandBody::Progress {
            step: StepIx(m.step),
            dispatch: DispatchNo(m.dispatch),
            offset: m.offset,
            text: m.text,
        },
    })
}

fn read_finished(finished: v1::Finished) -> Result<Finished, DecodeError> {
    let outcome = match finished.outcome.ok_or_else(|| FIELDS.invalid("finished.outcome"))? {
        WireOutcome::Done(done) => read_done(done)?,
        WireOutcome::Failed(failure) => Outcome::Failed(FIELDS.json("finished.failed", &failure)?),
        WireOutcome::Cancelled(failure) => Outcome::Cancelled(FIELDS.json("finished.cancelled", &failure)?),
        WireOutcome::Released(true) => Outcome::Released,
        WireOutcome::Released(false) => return Err(FIELDS.invalid("finished.released")),
        WireOutcome::Deferred(until) => Outcome::Deferred(Timestamp(until)),
        WireOutcome::Refused(decision) => Outcome::Refused(FIELDS.json("finished.refused", &decision)?),
    };
    Ok(Finished {
        step: StepIx(finished.step),
        dispatch: DispatchNo(finished.dispatch),
        outcome,
        started_at: finished.started_at.map(Timestamp),
        process: FIELDS.process(&finished.process)?,
        worker: finished.worker,
        log: finished.log,
    })
}

fn read_done(done: v1::DoneOutcome) -> Result<Outcome, DecodeError> {
    let workspace = match (done.base, done.commit) {
        (Some(base), Some(commit)) => Some(WorkspaceChange { base, commit, paths: done.paths }),
        (None, None) if done.paths.is_empty() => None,
        _ => return Err(FIELDS.invalid("finished.done.commit")),
    };
    Ok(Outcome::Done { output: done.output, labels: labels(&done.labels), workspace })
}
