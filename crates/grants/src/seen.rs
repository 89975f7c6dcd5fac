//! What a worker remembers of calls, so that none runs twice and an older dispatch never after a newer.

use crate::{GrantClaims, Refusal};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};

/// How long a call is remembered, unless the memory is full.
const KEEP_MS: i64 = 600_000;

/// How many steps are remembered.
const CAPACITY: usize = 1 << 18;

/// A call of a known step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallRef {
    /// The step's dispatch.
    pub dispatch: u32,
    /// Which call of the step.
    pub index: u32,
}

/// Run and step, hashed: names may be long and there may be many.
type Key = [u8; 16];

#[derive(Debug)]
struct Step {
    highest: u32,
    /// Indices of the calls that were taken with the highest dispatch, sorted.
    taken: Vec<u32>,
    running: Vec<CallRef>,
    keep_until: i64,
    not_after: i64,
}

/// The calls that a worker took, across its sessions.
///
/// A call is remembered for ten minutes and while it runs. When more steps pass in that time than there is
/// room for, those unused for longest are forgotten early, and every grant that is as old as a forgotten one
/// is refused: so memory is bounded and still no grant is good twice.
#[derive(Debug)]
pub struct SeenCalls {
    steps: HashMap<Key, Step>,
    /// Steps of which nothing runs, by the time that they are forgotten.
    idle: BTreeSet<(i64, Key)>,
    capacity: usize,
    /// Grants that end at or before this are refused: their calls may have been forgotten.
    forgotten_until: i64,
}

impl Default for SeenCalls {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl SeenCalls {
    /// Room for so many steps, beside those that run.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { steps: HashMap::new(), idle: BTreeSet::new(), capacity, forgotten_until: i64::MIN }
    }

    /// Takes a call whose grant was verified; tell [`SeenCalls::ended`] when it is over. Answers the calls of
    /// lower dispatches of the same step that still run: cancel them. Refuses a call taken before, and a
    /// dispatch below the highest seen.
    pub fn take(&mut self, call: &GrantClaims<'_>, now_ms: i64) -> Result<Vec<CallRef>, Refusal> {
        if call.not_after_ms <= self.forgotten_until {
            return Err(Refusal::Expired { late_ms: self.forgotten_until.saturating_sub(call.not_after_ms) });
        }
        let key = key(call.run, call.step);
        let step = self.steps.entry(key).or_default();
        let stale = step.take(CallRef { dispatch: call.dispatch, index: call.index })?;
        self.idle.remove(&(step.keep_until, key));
        step.keep_until = now_ms.saturating_add(KEEP_MS);
        step.not_after = step.not_after.max(call.not_after_ms);
        self.forget(now_ms);
        Ok(stale)
    }

    /// A call that was taken is over.
    pub fn ended(&mut self, run: &str, step: &str, call: CallRef) {
        let key = key(run, step);
        let Some(step) = self.steps.get_mut(&key) else { return };
        step.running.retain(|running| *running != call);
        if step.running.is_empty() {
            self.idle.insert((step.keep_until, key));
        }
    }

    /// How many steps are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn forget(&mut self, now_ms: i64) {
        while let Some(&(keep_until, key)) = self.idle.first() {
            if keep_until > now_ms && self.idle.len() <= self.capacity {
                return;
            }
            self.idle.pop_first();
            let step = self.steps.remove(&key).expect("an idle step is a known one");
            self.forgotten_until = self.forgotten_until.max(step.not_after);
        }
    }
}

impl Default for Step {
    fn default() -> Self {
        Self { highest: 0, taken: Vec::new(), running: Vec::new(), keep_until: i64::MIN, not_after: i64::MIN }
    }
}

impl Step {
    fn take(&mut self, call: CallRef) -> Result<Vec<CallRef>, Refusal> {
        let (CallRef { dispatch, index }, highest) = (call, self.highest);
        if dispatch < highest {
            return Err(Refusal::StaleDispatch { dispatch, highest });
        }
        let mut stale = Vec::new();
        if dispatch > highest {
            self.highest = dispatch;
            self.taken.clear();
            stale.clone_from(&self.running);
        }
        match self.taken.binary_search(&index) {
            Ok(_) => return Err(Refusal::SeenCall { dispatch, index }),
            Err(place) => self.taken.insert(place, index),
        }
        self.running.push(call);
        Ok(stale)
    }
}

fn key(run: &str, step: &str) -> Key {
    let mut sha = Sha256::new();
    sha.update(run);
    sha.update(b"\n");
    sha.update(step);
    sha.finalize()[..16].try_into().expect("16 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(step: &str, dispatch: u32, index: u32, not_after_ms: i64) -> GrantClaims<'_> {
        GrantClaims {
            run: "run_1",
            step,
            dispatch,
            index,
            tool: "t",
            entry_digest: "sha256:0",
            arguments: b"{}",
            policy_revision: "r",
            obligations: "{}",
            min_sandbox: "none",
            not_after_ms,
        }
    }

    #[test]
    fn a_call_is_taken_once_even_after_it_ended() {
        let mut seen = SeenCalls::default();
        assert_eq!(seen.take(&call("a", 1, 0, 30), 0), Ok(vec![]));
        let again = Err(Refusal::SeenCall { dispatch: 1, index: 0 });
        assert_eq!(seen.take(&call("a", 1, 0, 30), 1), again);
        seen.ended("run_1", "a", CallRef { dispatch: 1, index: 0 });
        assert_eq!(seen.take(&call("a", 1, 0, 30), 2), again);
        assert_eq!(seen.take(&call("a", 1, 1, 30), 2), Ok(vec![]), "an agent's next call");
        assert_eq!(seen.take(&call("b", 1, 0, 30), 2), Ok(vec![]), "another step");
    }

    #[test]
    fn a_higher_dispatch_cancels_the_lower_and_shuts_it_out() {
        let mut seen = SeenCalls::default();
        let old = |index| CallRef { dispatch: 1, index };
        (0..3).for_each(|index| assert_eq!(seen.take(&call("a", 1, index, 30), 0), Ok(vec![])));
        seen.ended("run_1", "a", old(1));
        assert_eq!(seen.take(&call("a", 2, 0, 30), 1), Ok(vec![old(0), old(2)]));
        let stale = Err(Refusal::StaleDispatch { dispatch: 1, highest: 2 });
        assert_eq!(seen.take(&call("a", 1, 9, 30), 2), stale);
    }

    #[test]
    fn it_forgets_with_time_but_never_what_runs() {
        let mut seen = SeenCalls::default();
        seen.take(&call("ended", 1, 0, 30), 0).unwrap();
        seen.ended("run_1", "ended", CallRef { dispatch: 1, index: 0 });
        seen.take(&call("runs", 1, 0, 30), 0).unwrap();
        seen.take(&call("later", 1, 0, KEEP_MS + 30), KEEP_MS).unwrap();
        assert_eq!(seen.len(), 2);
        let again = seen.take(&call("runs", 1, 0, KEEP_MS + 30), KEEP_MS);
        assert_eq!(again, Err(Refusal::SeenCall { dispatch: 1, index: 0 }));
    }

    #[test]
    fn what_was_forgotten_for_want_of_room_is_not_taken_again() {
        let mut seen = SeenCalls::with_capacity(10);
        let steps: Vec<String> = (0..100).map(|n| format!("s{n}")).collect();
        for (now, step) in (0..).zip(&steps) {
            seen.take(&call(step, 1, 0, now + 30_000), now).unwrap();
            seen.ended("run_1", step, CallRef { dispatch: 1, index: 0 });
        }
        assert!(seen.len() <= 11, "{}", seen.len());
        for (now, step) in (0..).zip(&steps) {
            assert!(seen.take(&call(step, 1, 0, now + 30_000), 100).is_err(), "{step} ran twice");
        }
        assert_eq!(seen.take(&call("new", 1, 0, 100 + 30_000), 100), Ok(vec![]));
    }
}
