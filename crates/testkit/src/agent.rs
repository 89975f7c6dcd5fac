//! An agent: it lives inside its process and pays for replies, each of which it puts on record.

use crate::Invariant;
use crate::fleet::{Host, Placed, Signals};
use crate::ports::SimStore;
use crate::process::Process;
use crate::shared::ms;
use crate::tool::{done, route, stopped};
use aidt_domain::{Digest, Effect, EffectHint, ErrorCode, Failure, StepMessage};
use aidt_step_consumer::{AgentJournal, Begun, CallSpec, Called, Ended, JournalError, Reply, ToolCall, ToolResult};
use aidt_store::{Journal, JournalKey};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::{Instant, sleep};

const CALLS: u32 = 4;

/// Runs an agent's step to its end; the process's fate is around it.
pub(crate) async fn execute(host: Arc<Host>, process: Arc<Process>, placed: Placed, call: ToolCall, signals: Signals) {
    let begun_at = Instant::now();
    let result = tokio::select! {
        biased;
        () = signals.cancel.cancelled() => stopped(EffectHint::Maybe),
        thought = think(&process, &call.step) => match thought {
            Ok(()) => done(&call.step, u64::from(CALLS), ""),
            Err(error) => {
                process.world.line(|| format!("an agent of {} gives up: {error}", process.id));
                match error {
                    // Whoever has been replaced says nothing.
                    JournalError::NotCurrent(_) => return host.forget(placed),
                    other => ToolResult::Failed(Failure::fatal(ErrorCode::Internal, other.to_string())),
                }
            }
        },
    };
    let ended = Ended { result, worker: "agent".into(), began_ago: Some(begun_at.elapsed()) };
    host.ended(placed, route(&call.step), ended).await;
}

async fn think(process: &Arc<Process>, step: &Arc<StepMessage>) -> Result<(), JournalError> {
    let world = &process.world;
    let port: Arc<dyn Journal> = SimStore::new(Arc::clone(process));
    world.start(step);
    let key = JournalKey { run: step.run, step: step.step, generation: step.generation, attempt: step.attempt };
    // Of what is recorded later, a call may be in flight here already.
    let known = world.with(|s| s.ledger.recorded(&key));
    let mut journal = AgentJournal::open(port, Arc::clone(step), process.id).await?;
    for call in 0..CALLS {
        let spec = CallSpec {
            digest: Digest::of(format!("prompt {call}").as_bytes()),
            effect: Effect::Read,
            decision: Some(step.decision.clone()),
        };
        match journal.begin(call, spec).await? {
            Begun::Replayed(Called::Done(_)) => world.count("command", "agent_replayed"),
            Begun::Replayed(_) => {}
            Begun::Make { .. } => {
                world.count("command", "agent_paid");
                world.line(|| format!("{} pays for call {call} of {} step {}", process.id, step.run, step.path));
                if known.contains(&call) {
                    world.breaks(Invariant::PaidOnce, || {
                        format!("{} step {}: call {call} is paid for, its reply was on record", step.run, step.path)
                    });
                }
                let pause = world.with(|s| s.chaos.rng.between(5, 400));
                sleep(ms(pause)).await;
                let reply = Reply { result: Bytes::from_static(b"\"well\""), ..Reply::default() };
                journal.finish(call, Ok(reply)).await?;
                world.line(|| format!("{} has call {call} of {} step {} on record", process.id, step.run, step.path));
                if let Err(why) = world.with(|s| s.ledger.record(&key, call)) {
                    world.breaks(Invariant::PaidOnce, || why);
                }
            }
        }
    }
    Ok(())
}
