//! Streams of commands, and nudges.

use super::{PATIENCE, QUIET, cancelled, hostile, in_time, message, never, numbered};
use crate::port::{Commands, Delivery, Queue, Tag};
use aidt_domain::PartitionId;
use bytes::Bytes;
use std::collections::BTreeSet;
use tokio::time::Instant;

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);
const P7: PartitionId = PartitionId(7);

type Arrived = (PartitionId, Delivery);

async fn publish(queue: &dyn Queue, to: PartitionId, bodies: &[Bytes]) {
    let commands = bodies.iter().map(|body| (to, message(body.clone()))).collect();
    queue.publish_commands(commands).await.expect("publish commands");
}

async fn open(queue: &dyn Queue, partitions: &[PartitionId]) -> Box<dyn Commands> {
    let from: Vec<_> = partitions.iter().map(|p| (*p, 0)).collect();
    queue.commands(&from).await.expect("open a stream of commands")
}

/// Opens partitions where the stream before, which is gone, had come to.
async fn reopen(queue: &dyn Queue, cursors: &[(PartitionId, i64)], partitions: &[PartitionId]) -> Box<dyn Commands> {
    let cursor = |p: PartitionId| cursors.iter().find(|(of, _)| *of == p).map_or(0, |(_, at)| *at);
    let from: Vec<_> = partitions.iter().map(|p| (*p, cursor(*p))).collect();
    queue.commands(&from).await.expect("open a stream of commands")
}

fn tags(arrived: &[Arrived]) -> Vec<(PartitionId, Tag)> {
    arrived.iter().map(|(partition, delivery)| (*partition, delivery.tag)).collect()
}

fn bodies(arrived: &[Arrived]) -> BTreeSet<(PartitionId, Bytes)> {
    arrived.iter().map(|(partition, delivery)| (*partition, delivery.body.clone())).collect()
}

fn expected(partition: PartitionId, bodies: &[Bytes]) -> BTreeSet<(PartitionId, Bytes)> {
    bodies.iter().map(|body| (partition, body.clone())).collect()
}

/// Takes until this many different commands came, acking none.
async fn take(stream: &mut dyn Commands, count: usize) -> Vec<Arrived> {
    let mut taken = Vec::new();
    while bodies(&taken).len() < count {
        taken.extend(in_time(stream.recv(count)).await.expect("recv").0);
    }
    taken
}

/// Any bytes up to the limit of a message arrive as they were, and where they were sent.
pub async fn commands_arrive_byte_for_byte_at_their_partitions(queue: &dyn Queue) {
    let (mut low, mut high) = (open(queue, &[P0, P1]).await, open(queue, &[P7]).await);
    let mut all = Vec::new();
    for partition in [P7, P0, P1] {
        all.extend(hostile().into_iter().map(|body| (partition, message(body))));
    }
    queue.publish_commands(all).await.expect("publish");
    let count = hostile().len();
    let mut both = expected(P0, &hostile());
    both.extend(expected(P1, &hostile()));
    assert_eq!(bodies(&take(&mut *low, 2 * count).await), both);
    assert_eq!(bodies(&take(&mut *high, count).await), expected(P7, &hostile()));
}

/// Results need no owner to be published.
pub async fn commands_published_before_anybody_listens_wait(queue: &dyn Queue) {
    publish(queue, P1, &numbered(10)).await;
    let mut stream = open(queue, &[P0, P1]).await;
    assert_eq!(bodies(&take(&mut *stream, 10).await), expected(P1, &numbered(10)));
}

/// An owner that is gone loses no command, and its successor knows.
pub async fn unacked_commands_come_back_doubtful(queue: &dyn Queue) {
    publish(queue, P0, &numbered(10)).await;
    publish(queue, P1, &numbered(10)).await;
    let mut first = open(queue, &[P0, P1]).await;
    take(&mut *first, 20).await;
    let cursors = first.cursors();
    drop(first);
    for partition in [P0, P1] {
        let mut next = reopen(queue, &cursors, &[partition]).await;
        let back = take(&mut *next, 10).await;
        assert_eq!(bodies(&back), expected(partition, &numbered(10)));
        assert!(back.iter().all(|(_, delivery)| delivery.doubtful));
    }
}

/// Acked is done, partition by partition; acking twice is harmless.
pub async fn acked_commands_stay_away(queue: &dyn Queue) {
    publish(queue, P0, &numbered(10)).await;
    publish(queue, P1, &numbered(10)).await;
    let mut first = open(queue, &[P0, P1]).await;
    let taken = take(&mut *first, 20).await;
    let (done, kept): (Vec<_>, Vec<_>) = taken.into_iter().partition(|(p, _)| *p == P0);
    first.ack(&tags(&done)).await.expect("ack");
    first.ack(&tags(&done)).await.expect("ack again");
    let cursors = first.cursors();
    drop(first);
    let mut second = reopen(queue, &cursors, &[P0, P1]).await;
    let back = take(&mut *second, 10).await;
    assert_eq!(bodies(&back), bodies(&kept));
    second.ack(&tags(&back)).await.expect("ack");
    never(commands_of(&mut *second)).await;
}

/// Until a command comes, whatever is nudged.
async fn commands_of(stream: &mut dyn Commands) -> Vec<Arrived> {
    loop {
        let (taken, _) = stream.recv(1).await.expect("recv");
        if !taken.is_empty() {
            return taken;
        }
    }
}

/// While a partition moves, two owners may listen: what the old one took comes to the new one at the
/// latest when the old one is gone, and nothing is lost between them.
pub async fn two_streams_of_a_partition_lose_nothing(queue: &dyn Queue) {
    let mut old = open(queue, &[P0]).await;
    publish(queue, P0, &numbered(10)).await;
    let held = take(&mut *old, 1).await;
    let mut new = open(queue, &[P0, P1]).await;
    publish(queue, P0, &[Bytes::from_static(b"late")]).await;
    old.ack(&tags(&held)).await.expect("ack");
    drop(old);
    let mut all = expected(P0, &numbered(10));
    all.insert((P0, Bytes::from_static(b"late")));
    let mut rest = all.clone();
    bodies(&held).iter().for_each(|acked| {
        rest.remove(acked);
    });
    let mut seen = BTreeSet::new();
    while !rest.is_subset(&seen) {
        seen.extend(bodies(&in_time(new.recv(10)).await.expect("recv").0));
    }
    assert!(seen.is_subset(&all));
}

/// A cursor never passes what is not acked: what comes later may be acked first.
pub async fn a_cursor_stays_behind_what_is_not_acked(queue: &dyn Queue) {
    publish(queue, P0, &numbered(10)).await;
    let mut first = open(queue, &[P0]).await;
    let taken = take(&mut *first, 10).await;
    let (kept, done) = taken.split_at(3);
    first.ack(&tags(done)).await.expect("ack");
    let cursors = first.cursors();
    drop(first);
    let mut second = reopen(queue, &cursors, &[P0]).await;
    let mut seen = BTreeSet::new();
    while !bodies(kept).is_subset(&seen) {
        seen.extend(bodies(&in_time(second.recv(10)).await.expect("recv").0));
    }
}

/// `max` bounds the commands of one recv.
pub async fn commands_are_taken_at_most_max_at_a_time(queue: &dyn Queue) {
    publish(queue, P0, &numbered(10)).await;
    publish(queue, P1, &numbered(10)).await;
    let mut stream = open(queue, &[P0, P1]).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        let (taken, _) = in_time(stream.recv(3)).await.expect("recv");
        assert!(taken.len() <= 3, "{} taken", taken.len());
        seen.extend(bodies(&taken));
    }
}

/// Giving up on a recv, at whatever moment, loses no command.
pub async fn a_cancelled_recv_of_commands_loses_nothing(queue: &dyn Queue) {
    let mut stream = open(queue, &[P0]).await;
    let mut seen = BTreeSet::new();
    for body in numbered(30) {
        let early = cancelled(stream.recv(1)).await;
        publish(queue, P0, &[body]).await;
        let late = cancelled(stream.recv(1)).await;
        for taken in [early, late].into_iter().flatten() {
            seen.extend(bodies(&taken.expect("recv").0));
        }
    }
    while seen.len() < 30 {
        seen.extend(bodies(&in_time(stream.recv(30)).await.expect("recv").0));
    }
}

/// A nudge reaches who listens to the partition. Best effort, so it may take a few.
pub async fn a_nudge_arrives(queue: &dyn Queue) {
    let mut stream = open(queue, &[P0, P1]).await;
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "no nudge of many arrived");
        queue.nudge(&[P1, P7]).await;
        let Ok(taken) = tokio::time::timeout(QUIET, stream.recv(9)).await else {
            continue;
        };
        let (commands, nudged) = taken.expect("recv");
        assert!(commands.is_empty());
        assert_eq!(nudged, [P1]);
        return;
    }
}

/// A partition that nobody listens to can be nudged.
pub async fn nudging_nobody_is_harmless(queue: &dyn Queue) {
    queue.nudge(&[P0, P7]).await;
    publish(queue, P0, &numbered(1)).await;
    let mut stream = open(queue, &[P0]).await;
    assert_eq!(bodies(&take(&mut *stream, 1).await), expected(P0, &numbered(1)));
}
