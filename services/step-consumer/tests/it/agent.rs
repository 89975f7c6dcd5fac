//! protocol.md §8: a simulated agent proves the journal.

use crate::support::rows::{again, step};
use crate::support::{World, process};
use aidt_domain::{Digest, Effect, Failure, ProcessId, StepMessage};
use aidt_step_consumer::{AgentJournal, CallSpec, Called, JournalError, Reply};
use aidt_store::{ClaimRequest, Journal, JournalEntry, JournalKey, Kind, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::task::yield_now;

/// A store whose every call has an await before its effect and one after it.
struct Slow {
    journal: Arc<dyn Journal>,
    /// The next append happens, and its answer is lost.
    ambiguous: AtomicBool,
    /// So many calls fail before anything happens.
    down: AtomicU32,
}

impl Slow {
    fn over(store: &Store) -> Arc<Self> {
        let journal = Arc::clone(&store.journal);
        Arc::new(Self { journal, ambiguous: AtomicBool::new(false), down: AtomicU32::new(0) })
    }

    fn check(&self) -> Result<(), StoreError> {
        let failing = self.down.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok();
        if failing { Err(StoreError::new("journal", Kind::Unavailable, "down")) } else { Ok(()) }
    }
}

#[async_trait]
impl Journal for Slow {
    async fn open(&self, key: &JournalKey, claim: &ClaimRequest) -> Result<Vec<JournalEntry>, StoreError> {
        self.check()?;
        yield_now().await;
        let entries = self.journal.open(key, claim).await;
        yield_now().await;
        entries
    }

    async fn append(&self, key: &JournalKey, claim: &ClaimRequest, entry: JournalEntry) -> Result<(), StoreError> {
        self.check()?;
        yield_now().await;
        self.journal.append(key, claim, entry).await?;
        yield_now().await;
        if self.ambiguous.swap(false, SeqCst) {
            return Err(StoreError::new("append", Kind::Unknown, "the answer was lost"));
        }
        Ok(())
    }
}

/// The outside of the agent: every call that was made, with its key.
#[derive(Default)]
struct Outside {
    calls: Mutex<Vec<(u32, String)>>,
    /// Replies that are on record.
    recorded: Mutex<Vec<u32>>,
}

impl Outside {
    async fn answer(&self, call: u32, key: String) -> Result<Reply, Failure> {
        yield_now().await;
        self.calls.lock().unwrap().push((call, key));
        yield_now().await;
        Ok(Reply { result: Bytes::from(format!("reply {call}")), ..Reply::default() })
    }

    fn count(&self, call: u32) -> usize {
        self.calls.lock().unwrap().iter().filter(|(made, _)| *made == call).count()
    }
}

fn spec(call: u32, effect: Effect) -> CallSpec {
    CallSpec { digest: Digest::of(format!("call {call}").as_bytes()), effect, decision: None }
}

const EFFECTS: [Effect; 5] = [Effect::Read, Effect::Idempotent, Effect::Read, Effect::Once, Effect::Read];

/// Thinks, calls tools, thinks. Answers what each call came to, up to the first unknown one.
async fn agent(
    journal: Arc<dyn Journal>,
    step: StepMessage,
    process: ProcessId,
    outside: Arc<Outside>,
) -> Result<Vec<Called>, JournalError> {
    let mut journal = AgentJournal::open(journal, Arc::new(step), process).await?;
    let mut came_to = Vec::new();
    for (call, effect) in (0..).zip(EFFECTS) {
        let called = journal.call(call, spec(call, effect), |key| outside.answer(call, key)).await?;
        outside.recorded.lock().unwrap().push(call);
        let unknown = called == Called::Unknown;
        came_to.push(called);
        if unknown {
            break;
        }
    }
    Ok(came_to)
}

/// Polls a future so many times, then drops it. True when it ended before.
async fn poll_times<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = Box::pin(future);
    for _ in 0..times {
        match futures::poll!(future.as_mut()) {
            std::task::Poll::Ready(value) => return Some(value),
            std::task::Poll::Pending => {}
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn killed_between_any_two_awaits_no_recorded_reply_is_paid_for_twice() {
    let mut ended_first = 0;
    for kill_at in 0..80 {
        let world = World::new(1).await;
        let step = step(1);
        world.put(&step).await;
        let (slow, outside) = (Slow::over(&world.store), Arc::new(Outside::default()));
        let first = agent(slow.clone(), step.clone(), process(1), Arc::clone(&outside));
        if poll_times(first, kill_at).await.is_some() {
            ended_first += 1;
            continue;
        }
        let recorded = outside.recorded.lock().unwrap().clone();
        // Its process is dead: same attempt, next dispatch.
        let next = again(&step);
        world.put(&next).await;
        let came_to = agent(slow, next, process(2), Arc::clone(&outside)).await.unwrap();
        for call in recorded {
            assert_eq!(outside.count(call), 1, "killed at {kill_at}: call {call} was paid for twice");
        }
        assert!(outside.count(3) <= 1, "killed at {kill_at}: a once was made twice");
        let unknown = came_to.last() == Some(&Called::Unknown);
        assert!(unknown || came_to.len() == EFFECTS.len(), "killed at {kill_at}: {came_to:?}");
        assert!(outside.count(3) == 1 || unknown, "a once is made, or reported as unknown");
        let calls = outside.calls.lock().unwrap();
        let repeated = (0..5).filter(|call| calls.iter().filter(|(c, _)| c == call).count() > 1).count();
        assert!(repeated <= 1, "a kill costs at most the call in flight: {calls:?}");
        for call in 0..5 {
            let mut keys: Vec<_> = calls.iter().filter(|(c, _)| *c == call).map(|(_, key)| key).collect();
            keys.dedup();
            assert!(keys.len() <= 1, "repeated with the same key");
        }
    }
    assert!((1..70).contains(&ended_first), "{ended_first}: the kills cover the agent's whole life");
}

#[tokio::test(start_paused = true)]
async fn a_once_that_was_started_and_not_done_is_reported_as_unknown() {
    let world = World::new(1).await;
    let step = step(1);
    world.put(&step).await;
    let mut journal =
        AgentJournal::open(world.store.journal.clone(), Arc::new(step.clone()), process(1)).await.unwrap();
    journal.begin(0, spec(0, Effect::Once)).await.unwrap();
    drop(journal);
    let next = again(&step);
    world.put(&next).await;
    let mut journal = AgentJournal::open(world.store.journal.clone(), Arc::new(next), process(2)).await.unwrap();
    assert_eq!(journal.recorded_calls(), 1);
    let called = journal.call(0, spec(0, Effect::Once), |_| async { panic!("not made again") }).await.unwrap();
    assert_eq!(called, Called::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_predecessor_that_thaws_cannot_append() {
    let world = World::new(1).await;
    let step = step(1);
    world.put(&step).await;
    let mut frozen = AgentJournal::open(world.store.journal.clone(), Arc::new(step.clone()), process(1)).await.unwrap();
    frozen.begin(0, spec(0, Effect::Read)).await.unwrap();
    let next = again(&step);
    world.put(&next).await;
    let mut successor = AgentJournal::open(world.store.journal.clone(), Arc::new(next), process(2)).await.unwrap();
    let error = frozen.finish(0, Ok(Reply::default())).await.unwrap_err();
    assert!(matches!(error, JournalError::NotCurrent(_)), "{error}");
    let outside = Outside::default();
    successor.call(0, spec(0, Effect::Read), |key| outside.answer(0, key)).await.unwrap();
    assert_eq!(outside.count(0), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_that_another_holds_cannot_be_opened() {
    let world = World::new(1).await;
    let step = step(1);
    world.put(&step).await;
    let open = |n| AgentJournal::open(world.store.journal.clone(), Arc::new(step.clone()), process(n));
    open(1).await.unwrap();
    open(1).await.unwrap();
    assert!(matches!(open(2).await, Err(JournalError::NotCurrent(_))));
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_append_is_read_back_and_an_outage_is_waited_out() {
    let world = World::new(1).await;
    let step = step(1);
    world.put(&step).await;
    let slow = Slow::over(&world.store);
    let mut journal = AgentJournal::open(slow.clone(), Arc::new(step), process(1)).await.unwrap();
    slow.ambiguous.store(true, SeqCst);
    journal.begin(0, spec(0, Effect::Read)).await.unwrap();
    slow.down.store(5, SeqCst);
    journal.finish(0, Ok(Reply::default())).await.unwrap();
    slow.ambiguous.store(true, SeqCst);
    let failure = Failure::fatal(aidt_domain::ErrorCode::ToolFailed, "no");
    let called = journal.call(1, spec(1, Effect::Read), |_| async { Err(failure.clone()) }).await.unwrap();
    assert_eq!(called, Called::Failed(failure));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_asks_for_something_else_on_resume_is_told_so() {
    let world = World::new(1).await;
    let step = step(1);
    world.put(&step).await;
    let mut journal = AgentJournal::open(world.store.journal.clone(), Arc::new(step), process(1)).await.unwrap();
    let outside = Outside::default();
    journal.call(0, spec(0, Effect::Read), |key| outside.answer(0, key)).await.unwrap();
    let replayed = journal.call(0, spec(0, Effect::Read), |key| outside.answer(0, key)).await.unwrap();
    assert!(matches!(replayed, Called::Done(reply) if reply.result == "reply 0"));
    assert_eq!(outside.count(0), 1);
    let error = journal.begin(0, spec(1, Effect::Read)).await.unwrap_err();
    assert!(matches!(error, JournalError::Diverged { call: 0, .. }), "{error}");
}
