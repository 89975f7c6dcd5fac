//! What a worker does with a call: quickly, slowly, badly, or not at all.

use crate::fleet::{Host, Placed, Signals};
use crate::ledger::{ExecutionNo, Said};
use crate::rng::Rng;
use crate::shared::{Shared, ms};
use aidt_domain::{Effect, EffectHint, ErrorCode, Failure, Labels, StepMessage};
use aidt_step_consumer::{CallNo, Ended, Report, Route, ToolCall, ToolResult};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::{Instant, sleep};

/// The tool that is played by an agent.
pub(crate) const AGENT: &str = "sim.agent";

pub(crate) fn route(step: &StepMessage) -> Route {
    Route {
        project: step.project.clone(),
        run: step.run,
        partition: step.partition,
        step: step.step,
        dispatch: step.dispatch,
        effect: step.effect,
        traceparent: step.traceparent.clone(),
    }
}

/// What all workers answer when they are done.
pub(crate) fn done(step: &StepMessage, value: u64, extra: &str) -> ToolResult {
    let output = format!(r#"{{"d":{},"value":{value}{extra}}}"#, step.dispatch);
    ToolResult::Done { output: Bytes::from(output), labels: Labels::NONE, workspace: None }
}

/// How a step is to behave: the plan says so in its arguments.
fn behaviour(step: &StepMessage) -> String {
    let arguments: serde_json::Value = serde_json::from_slice(&step.arguments).unwrap_or_default();
    arguments.get("do").and_then(serde_json::Value::as_str).unwrap_or("fast").to_owned()
}

/// Runs a call to its end.
pub(crate) async fn execute(host: Arc<Host>, world: Arc<Shared>, placed: Placed, call: ToolCall, signals: Signals) {
    let begun_at = Instant::now();
    let begun = AtomicBool::new(false);
    let work = Work {
        host: &host,
        world: &world,
        step: &call.step,
        signals: &signals,
        view: placed.0,
        no: call.no,
        begun: &begun,
        rng: world.with(|s| Rng::new(s.chaos.rng.next(), 5)),
    };
    let limit = async {
        // A worker enforces the run time by itself, for when nobody else does any more.
        sleep(ms(call.step.run_ms + 5_000)).await;
        signals.cancel.cancel();
        std::future::pending::<()>().await;
    };
    let result = tokio::select! {
        biased;
        () = limit => return,
        () = signals.lost.cancelled() => ToolResult::Lost { started: begun.load(Ordering::Relaxed) },
        result = work.run() => result,
    };
    let began_ago = begun.load(Ordering::Relaxed).then(|| begun_at.elapsed());
    host.ended(placed, route(&call.step), Ended { result, worker: "sim".into(), began_ago }).await;
}

struct Work<'a> {
    host: &'a Host,
    world: &'a Shared,
    step: &'a StepMessage,
    signals: &'a Signals,
    view: u64,
    no: CallNo,
    begun: &'a AtomicBool,
    rng: Rng,
}

impl Work<'_> {
    async fn run(mut self) -> ToolResult {
        let latency = ms(self.rng.below(8));
        tokio::select! {
            biased;
            () = self.signals.cancel.cancelled() => return stopped(EffectHint::None),
            () = sleep(latency) => {}
        }
        let exec = self.world.start(self.step);
        self.begun.store(true, Ordering::Relaxed);
        let (said, result) = self.behave(exec).await;
        self.world.ends(exec, said);
        result
    }

    async fn behave(&mut self, exec: ExecutionNo) -> (Said, ToolResult) {
        match behaviour(self.step).as_str() {
            "slow" => self.slowly(exec).await,
            "flaky" if self.rng.chance(600) => self.fails(exec, true).await,
            "fatal" => self.fails(exec, false).await,
            "hang" => self.hangs(exec).await,
            "lost" if self.rng.chance(400) => self.vanishes(exec).await,
            "poison" => {
                self.world.happens(exec);
                (Said::Done, done(self.step, 1, crate::plans::POISON))
            }
            _ => self.quickly(exec).await,
        }
    }

    fn succeeds(&mut self) -> (Said, ToolResult) {
        let value = self.rng.below(10);
        (Said::Done, done(self.step, value, ""))
    }

    async fn quickly(&mut self, exec: ExecutionNo) -> (Said, ToolResult) {
        let (before, after) = (ms(self.rng.below(12)), ms(self.rng.below(12)));
        sleep(before).await;
        self.world.happens(exec);
        sleep(after).await;
        self.succeeds()
    }

    async fn slowly(&mut self, exec: ExecutionNo) -> (Said, ToolResult) {
        let pieces = self.rng.between(1, 6);
        let at = self.rng.below(pieces);
        let mut offset = 0;
        for piece in 0..pieces {
            let pause = ms(self.rng.between(20, 300));
            tokio::select! {
                biased;
                () = self.signals.cancel.cancelled() => return self.stops(exec, piece > at),
                () = sleep(pause) => {}
            }
            if piece == at {
                self.world.happens(exec);
            }
            let text = Bytes::from(format!("piece {piece}\n"));
            let len = text.len() as u64;
            self.host.says(self.view, Report::Output { call: self.no, offset, data: text }).await;
            offset += len;
            let message = format!("{piece} of {pieces}");
            self.host.says(self.view, Report::Progress { call: self.no, message }).await;
        }
        self.succeeds()
    }

    /// Told to stop: it does, finishes anyway, or does not know what it has done.
    fn stops(&mut self, exec: ExecutionNo, happened: bool) -> (Said, ToolResult) {
        match self.rng.below(4) {
            0 => {
                self.world.happens(exec);
                self.succeeds()
            }
            1 => (Said::Maybe, stopped(EffectHint::Maybe)),
            _ if happened => (Said::Maybe, stopped(EffectHint::Maybe)),
            _ => (Said::NoEffect, stopped(EffectHint::None)),
        }
    }

    async fn fails(&mut self, exec: ExecutionNo, retryable: bool) -> (Said, ToolResult) {
        let pause = ms(self.rng.below(60));
        sleep(pause).await;
        let happened = self.rng.chance(250);
        if happened {
            self.world.happens(exec);
        }
        let known = !happened && self.rng.chance(700);
        let effect = if known { EffectHint::None } else { EffectHint::Maybe };
        let failure = Failure { retryable, effect, ..Failure::fatal(ErrorCode::ToolFailed, "it broke") };
        let said = if known { Said::NoEffect } else { Said::Maybe };
        (said, ToolResult::Failed(failure))
    }

    /// Does not end by itself.
    async fn hangs(&mut self, exec: ExecutionNo) -> (Said, ToolResult) {
        let happened = self.rng.chance(500);
        if happened {
            self.world.happens(exec);
        }
        self.signals.cancel.cancelled().await;
        if self.rng.chance(300) {
            // Deaf, for longer than anybody waits.
            sleep(ms(20_000)).await;
            return (Said::Maybe, stopped(EffectHint::Maybe));
        }
        let pause = ms(self.rng.below(400));
        sleep(pause).await;
        self.stops(exec, happened)
    }

    async fn vanishes(&mut self, exec: ExecutionNo) -> (Said, ToolResult) {
        let pause = ms(self.rng.below(200));
        sleep(pause).await;
        if self.step.effect != Effect::Read && self.rng.chance(500) {
            self.world.happens(exec);
        }
        self.world.fault("worker_lost", || format!("{} step {}", self.step.run, self.step.path));
        (Said::Maybe, ToolResult::Lost { started: true })
    }
}

pub(crate) fn stopped(effect: EffectHint) -> ToolResult {
    ToolResult::Cancelled(Failure { effect, ..Failure::fatal(ErrorCode::Cancelled, "it was told to stop") })
}
