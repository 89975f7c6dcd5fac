//! What happened outside: effects and payments, counted where no port can lie about them.

use aidt_domain::{DispatchNo, Effect, Generation, RunId, StepIx, StepMessage};
use aidt_store::JournalKey;
use std::collections::{BTreeMap, BTreeSet};

/// What a call said of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing yet, or nothing ever.
    Nothing,
    /// It is done.
    Done,
    /// It had no effect.
    NoEffect,
    /// It may have had one.
    Maybe,
}

/// One execution by a worker.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    pub(crate) dispatch: DispatchNo,
    pub(crate) happened: bool,
    pub(crate) said: Said,
}

impl Execution {
    /// Nobody can tell whether it had an effect.
    pub(crate) fn is_unclear(&self) -> bool {
        matches!(self.said, Said::Nothing | Said::Maybe)
    }
}

type Wanted = (RunId, StepIx, Generation);

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    executions: BTreeMap<Wanted, Vec<Execution>>,
    records: BTreeSet<(JournalKey, u32)>,
    pub(crate) started: u64,
}

/// Names an execution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExecutionNo(Wanted, usize);

impl Ledger {
    /// A worker begins a call. The error says why it must not.
    pub(crate) fn start(&mut self, step: &StepMessage) -> (ExecutionNo, Result<(), String>) {
        let wanted = (step.run, step.step, step.generation);
        self.started += 1;
        let before = self.executions.entry(wanted).or_default();
        let unclear = before.iter().find(|e| e.happened || e.said != Said::NoEffect);
        let allowed = match unclear {
            Some(other) if step.effect == Effect::Once => Err(format!(
                "{} step {} (once) is executed for dispatch {} after dispatch {}, which said {:?} (its effect {})",
                step.run,
                step.path,
                step.dispatch,
                other.dispatch,
                other.said,
                if other.happened { "happened" } else { "did not happen" },
            )),
            _ => Ok(()),
        };
        before.push(Execution { dispatch: step.dispatch, happened: false, said: Said::Nothing });
        (ExecutionNo(wanted, before.len() - 1), allowed)
    }

    pub(crate) fn happens(&mut self, no: ExecutionNo) {
        self.execution(no).happened = true;
    }

    pub(crate) fn ends(&mut self, no: ExecutionNo, said: Said) {
        let execution = self.execution(no);
        debug_assert!(said != Said::NoEffect || !execution.happened, "a worker of the simulation lies");
        execution.said = said;
    }

    fn execution(&mut self, ExecutionNo(wanted, index): ExecutionNo) -> &mut Execution {
        &mut self.executions.get_mut(&wanted).expect("begun before")[index]
    }

    /// Executions of one dispatch.
    pub(crate) fn of(&self, run: RunId, step: StepIx, dispatch: DispatchNo) -> impl Iterator<Item = &Execution> {
        let all = self.executions.range((run, step, Generation(0))..=(run, step, Generation(u32::MAX)));
        all.flat_map(|(_, executions)| executions).filter(move |e| e.dispatch == dispatch)
    }

    /// Calls of a journal whose reply is on record.
    pub(crate) fn recorded(&self, key: &JournalKey) -> BTreeSet<u32> {
        let all = self.records.range((key.clone(), 0)..=(key.clone(), u32::MAX));
        all.map(|(_, call)| *call).collect()
    }

    /// The journal has confirmed a reply.
    pub(crate) fn record(&mut self, key: &JournalKey, call: u32) -> Result<(), String> {
        if self.records.insert((key.clone(), call)) {
            return Ok(());
        }
        Err(format!("{} step {}: two replies of call {call} are recorded", key.run, key.step))
    }
}
