//! Calls of ports that are under way, and what came of them.

use crate::core::{ClaimAsk, JudgeAsk, Letter, Publication};
use crate::judge::{Context, read_context};
use crate::life::Life;
use crate::presence::register;
use crate::readers::READS_FOR_MS;
use aidt_domain::{CommandId, Timestamp};
use aidt_lock::Locks;
use aidt_queue::{Outgoing, Queue, QueueError};
use aidt_store::{ClaimRequest, ClaimState, InboxRow, LogChunk, ProcessRow, Store, StoreError, Submission};
use aidt_telemetry::timed;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;
use uuid::Uuid;

/// A call of a port, or a stream that is served for as long as the loop lives.
pub(crate) type Work = BoxFuture<'static, Done>;

/// What came of it. What failed comes back with its items.
pub(crate) enum Done {
    Claimed(Vec<ClaimAsk>, Result<Vec<ClaimState>, StoreError>),
    Contexts(Vec<(JudgeAsk, Result<Context, StoreError>)>),
    Published(Vec<Publication>, Result<(), QueueError>),
    HandedOver(Vec<Publication>, Result<(), StoreError>),
    Buried(Vec<Letter>, Result<(), StoreError>),
    Logged(Vec<LogChunk>, Result<(), StoreError>),
    /// Whether claims whose results are published are still open.
    Recorded(Vec<ClaimRequest>, Result<Vec<ClaimState>, StoreError>),
    /// The broker's incarnation.
    Broker(Result<String, QueueError>),
    Live,
    Registered(Result<(), StoreError>),
    /// Who is there.
    Processes(Result<Vec<ProcessRow>, StoreError>),
    /// Something that is served for ever has ended: its queue or fan-out is closed.
    Over,
}

pub(crate) async fn claim(store: Store, asks: Vec<ClaimAsk>) -> Done {
    let requests: Vec<_> = asks.iter().map(|ask| ask.request.clone()).collect();
    let answer = timed("claim", store.claims.claim(&requests)).await;
    Done::Claimed(asks, answer)
}

/// A claim lives as long as its dispatch is out: one that cannot be had again is recorded.
pub(crate) async fn recorded(store: Store, claims: Vec<ClaimRequest>) -> Done {
    let answer = timed("claim", store.claims.claim(&claims)).await;
    Done::Recorded(claims, answer)
}

pub(crate) async fn contexts(store: Store, asks: Vec<JudgeAsk>) -> Done {
    let mut answers = Vec::with_capacity(asks.len());
    for ask in asks {
        let context = read_context(&store, &ask.project, ask.run).await;
        answers.push((ask, context));
    }
    Done::Contexts(answers)
}

/// Several results share one call of the broker.
pub(crate) async fn publish(queue: Arc<dyn Queue>, publications: Vec<Publication>) -> Done {
    let outgoing = |p: &Publication| {
        let out = Outgoing { body: p.body.clone(), republished: false, traceparent: p.traceparent.clone() };
        (p.partition, out)
    };
    let commands = publications.iter().map(outgoing).collect();
    let confirmed = queue.publish_commands(commands).await;
    Done::Published(publications, confirmed)
}

pub(crate) async fn look_at_broker(queue: Arc<dyn Queue>) -> Done {
    Done::Broker(queue.incarnation().await)
}

/// The broker is down and the process ends: results go into the inbox, once each.
pub(crate) async fn hand_over(store: Store, publications: Vec<Publication>) -> Done {
    for publication in &publications {
        // The same command always gets the same id: it is in the inbox once, however often this is tried.
        let name = [publication.run.0.as_bytes(), &publication.body[..]].concat();
        let row = InboxRow {
            seq: 0,
            id: CommandId(Uuid::new_v5(&Uuid::NAMESPACE_OID, &name)),
            project: publication.project.clone(),
            run: publication.run,
            partition: publication.partition,
            command: publication.body.clone(),
            at: Timestamp::default(),
        };
        let submission = Submission { row, documents: Vec::new(), idempotency: None };
        if let Err(error) = store.inbox.submit(submission).await {
            return Done::HandedOver(publications, Err(error));
        }
    }
    Done::HandedOver(publications, Ok(()))
}

pub(crate) async fn bury(store: Store, letters: Vec<Letter>) -> Done {
    let rows = letters.iter().map(|l| l.letter.clone()).collect();
    let kept = timed("bury", store.dead_letters.bury(rows)).await;
    if let Some(instruments) = aidt_telemetry::instruments().filter(|_| kept.is_ok()) {
        letters.iter().for_each(|letter| instruments.dead_letters(&letter.letter.inlet, 1));
    }
    Done::Buried(letters, kept)
}

pub(crate) async fn log(store: Store, chunks: Vec<LogChunk>) -> Done {
    let written = timed("append_logs", store.logs.append_logs(chunks.clone())).await;
    Done::Logged(chunks, written)
}

/// Best effort: who is not listening now reads the log later.
pub(crate) async fn live(locks: Arc<dyn Locks>, messages: Vec<(String, Bytes)>) -> Done {
    for (channel, message) in messages {
        if locks.publish(&channel, message).await.is_err() {
            break;
        }
    }
    Done::Live
}

pub(crate) async fn present(store: Store, queue: Arc<dyn Queue>, life: Arc<Life>, row: ProcessRow) -> Done {
    Done::Registered(register(store, queue, life, row).await)
}

pub(crate) async fn look_at_processes(store: Store) -> Done {
    Done::Processes(timed("live", store.processes.live(READS_FOR_MS)).await.map(|(rows, _)| rows))
}
