//! What the worker owes: calls that run, and results that nobody has acked.

use aidt_proto::v1::{self, CallId};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// More results than this are not kept; the oldest goes first.
const MAX_KEPT: usize = 4096;

/// A hello carries this many bytes of results at most; the rest follows the welcome.
const MAX_HELLO: usize = 1024 * 1024;

/// Calls in the order in which they were taken.
#[derive(Debug)]
pub(crate) struct Ledger {
    keep: Duration,
    next: u64,
    numbers: HashMap<CallId, u64>,
    running: BTreeMap<u64, (CallId, CancellationToken)>,
    kept: BTreeMap<u64, (v1::Result, Instant)>,
}

/// What a hello says of earlier sessions.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// Also the calls of `later`: the hub takes for never begun whatever a hello does not name.
    pub(crate) running: Vec<CallId>,
    pub(crate) unreported: Vec<v1::Result>,
    /// Did not fit: send them when welcome.
    pub(crate) later: Vec<v1::Result>,
}

impl Ledger {
    pub(crate) fn new(keep: Duration) -> Self {
        Self { keep, next: 0, numbers: HashMap::new(), running: BTreeMap::new(), kept: BTreeMap::new() }
    }

    /// A call begins. `cancel` stops it.
    pub(crate) fn begin(&mut self, id: CallId, cancel: CancellationToken) {
        self.next += 1;
        self.numbers.insert(id.clone(), self.next);
        self.running.insert(self.next, (id, cancel));
    }

    /// It ended: from now on its result is owed.
    pub(crate) fn end(&mut self, id: &CallId, result: v1::Result, now: Instant) {
        let Some(number) = self.numbers.get(id) else { return };
        self.running.remove(number);
        self.kept.insert(*number, (result, now + self.keep));
        if self.kept.len() > MAX_KEPT
            && let Some((_, (oldest, _))) = self.kept.pop_first()
        {
            tracing::warn!(call = ?oldest.id, "too many results wait to be acked: the oldest is dropped");
            self.forget(&oldest);
        }
    }

    /// The result is safe. An ack for a call that runs means another result of the same id: ignored.
    pub(crate) fn acked(&mut self, id: &CallId) {
        if let Some((result, _)) = self.numbers.get(id).and_then(|n| self.kept.remove(n)) {
            self.forget(&result);
        }
    }

    /// Tells one call to stop; false if it does not run here.
    pub(crate) fn cancel(&self, id: &CallId) -> bool {
        let running = self.numbers.get(id).and_then(|n| self.running.get(n));
        running.inspect(|(_, cancel)| cancel.cancel()).is_some()
    }

    /// Tells all to stop.
    pub(crate) fn cancel_all(&self) {
        self.running.values().for_each(|(_, cancel)| cancel.cancel());
    }

    /// How many calls run.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// How many calls run, and results are owed.
    pub(crate) fn unsettled(&self) -> usize {
        self.running.len() + self.kept.len()
    }

    /// Whether nothing runs and nothing is owed.
    pub(crate) fn is_settled(&self) -> bool {
        self.running.is_empty() && self.kept.is_empty()
    }

    /// What the next hello has to say. Drops results that are too old.
    pub(crate) fn owed(&mut self, now: Instant) -> Owed {
        let old: Vec<u64> = self.kept.iter().filter(|(_, (_, until))| *until <= now).map(|(n, _)| *n).collect();
        for number in old {
            if let Some((result, _)) = self.kept.remove(&number) {
                self.forget(&result);
            }
        }
        let mut owed = Owed { running: self.running.values().map(|(id, _)| id.clone()).collect(), ..Owed::default() };
        let mut room = MAX_HELLO;
        for (result, _) in self.kept.values() {
            match room.checked_sub(size(result)) {
                Some(left) if owed.later.is_empty() => {
                    room = left;
                    owed.unreported.push(result.clone());
                }
                _ => {
                    owed.running.extend(result.id.clone());
                    owed.later.push(result.clone());
                }
            }
        }
        owed
    }

    fn forget(&mut self, result: &v1::Result) {
        if let Some(id) = &result.id {
            self.numbers.remove(id);
        }
    }
}

/// About how many bytes a result takes: its largest parts, and room for the others.
fn size(result: &v1::Result) -> usize {
    let outcome = match &result.outcome {
        Some(v1::result::Outcome::Done(done)) => {
            let paths = done.workspace.iter().flat_map(|w| &w.paths).map(String::len).sum::<usize>();
            done.output.len() + paths
        }
        Some(v1::result::Outcome::Failed(f) | v1::result::Outcome::Cancelled(f)) => f.message.len(),
        None => 0,
    };
    outcome + result.route.len() + 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn id(n: u32) -> CallId {
        CallId { run: "run_1".to_owned(), step: "a".to_owned(), dispatch: n, index: 0 }
    }

    fn result(n: u32, bytes: usize) -> v1::Result {
        let done = v1::Done { output: Bytes::from(vec![b'1'; bytes]), ..v1::Done::default() };
        v1::Result { id: Some(id(n)), outcome: Some(v1::result::Outcome::Done(done)), ..v1::Result::default() }
    }

    fn ledger() -> Ledger {
        Ledger::new(Duration::from_secs(600))
    }

    #[test]
    fn a_result_is_owed_until_it_is_acked() {
        let (mut ledger, now) = (ledger(), Instant::now());
        ledger.begin(id(1), CancellationToken::new());
        ledger.begin(id(2), CancellationToken::new());
        ledger.end(&id(1), result(1, 1), now);
        let owed = ledger.owed(now);
        assert_eq!((owed.running, owed.unreported.len()), (vec![id(2)], 1));
        ledger.acked(&id(2));
        assert_eq!(ledger.running(), 1, "what runs cannot be acked");
        ledger.acked(&id(1));
        ledger.end(&id(2), result(2, 1), now);
        ledger.acked(&id(2));
        assert!(ledger.is_settled());
    }

    #[test]
    fn what_nobody_wants_is_forgotten() {
        let (mut ledger, now) = (ledger(), Instant::now());
        ledger.begin(id(1), CancellationToken::new());
        ledger.end(&id(1), result(1, 1), now);
        assert_eq!(ledger.owed(now + Duration::from_secs(599)).unreported.len(), 1);
        assert_eq!(ledger.owed(now + Duration::from_secs(600)).unreported.len(), 0);
        for n in 0..=5000 {
            ledger.begin(id(n), CancellationToken::new());
            ledger.end(&id(n), result(n, 1), now);
        }
        assert_eq!(ledger.kept.len(), MAX_KEPT);
        assert_eq!(ledger.numbers.len(), MAX_KEPT);
    }

    #[test]
    fn a_hello_stays_small() {
        let (mut ledger, now) = (ledger(), Instant::now());
        for n in 0..10 {
            ledger.begin(id(n), CancellationToken::new());
            ledger.end(&id(n), result(n, 200_000), now);
        }
        let owed = ledger.owed(now);
        assert_eq!((owed.unreported.len(), owed.later.len()), (5, 5));
        let ids: Vec<_> = owed.later.into_iter().filter_map(|r| r.id).collect();
        assert_eq!(owed.running, ids, "a hello names every call that began");
    }

    #[test]
    fn cancelling_reaches_the_call() {
        let mut ledger = ledger();
        let (one, two) = (CancellationToken::new(), CancellationToken::new());
        ledger.begin(id(1), one.clone());
        ledger.begin(id(2), two.clone());
        assert!(ledger.cancel(&id(1)) && !ledger.cancel(&id(3)));
        assert!(one.is_cancelled() && !two.is_cancelled());
        ledger.cancel_all();
        assert!(two.is_cancelled());
    }
}
