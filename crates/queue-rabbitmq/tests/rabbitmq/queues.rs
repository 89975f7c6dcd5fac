//! Queues that are new, deleted, or all gone; and what the incarnation says of it.

use super::support::*;
use aidt_domain::PartitionId;
use aidt_queue::{Kind, Queue};
use aidt_queue_rabbitmq::{Error, RabbitQueue};
use std::time::Duration;

/// The incarnation, as soon as it can be told.
async fn incarnation(queue: &dyn Queue) -> String {
    let mut told = String::new();
    eventually("an incarnation", async || match queue.incarnation().await {
        Ok(text) => {
            told = text;
            true
        }
        Err(_) => false,
    })
    .await;
    told
}

async fn changed(queue: &dyn Queue, from: &str) -> String {
    eventually("another incarnation", async || queue.incarnation().await.is_ok_and(|now| now != from)).await;
    incarnation(queue).await
}

/// It stays over a few of its looks.
async fn lasts(queue: &dyn Queue, text: &str) {
    let until = tokio::time::Instant::now() + Duration::from_secs(3);
    while tokio::time::Instant::now() < until {
        assert_eq!(incarnation(queue).await, text);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_queues_change_nothing() {
    let fresh = fresh().await;
    let first = incarnation(&*fresh).await;
    fresh.publish_steps(steps(&numbered(0..3))).await.unwrap();
    fresh.publish_commands(commands(1, &numbered(0..3))).await.unwrap();
    drop(fresh.commands(&[(PartitionId(0), 0), (PartitionId(1), 0)]).await.unwrap());
    let other = fresh.another().await;
    drop(other.steps(&pool("a"), 1).await.unwrap());
    lasts(&*fresh, &first).await;
    assert_eq!(incarnation(&*other).await, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_deleted_before_publishing_is_declared_and_told() {
    let fresh = fresh().await;
    fresh.publish_steps(steps(&numbered(0..1))).await.unwrap();
    fresh.publish_commands(commands(1, &numbered(0..1))).await.unwrap();
    let first = incarnation(&*fresh).await;
    let outside = Outside::new().await;
    outside.delete(&format!("{}.steps.p", fresh.prefix)).await;
    fresh.publish_steps(steps(&numbered(1..200))).await.unwrap();
    let mut stream = fresh.steps(&pool("p"), 300).await.unwrap();
    take_and_ack(&mut *stream, &numbered(1..200)).await;
    let second = changed(&*fresh, &first).await;

    outside.delete(&format!("{}.commands.1", fresh.prefix)).await;
    let both = [commands(1, &numbered(1..9)), commands(2, &numbered(1..9))].concat();
    fresh.publish_commands(both).await.unwrap();
    assert_eq!(outside.depth(&format!("{}.commands.1", fresh.prefix)).await, 1);
    let third = changed(&*fresh, &second).await;
    lasts(&*fresh, &third).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_deleted_under_a_stream_ends_it_and_is_told() {
    let fresh = fresh().await;
    let outside = Outside::new().await;
    let mut stream = fresh.steps(&pool("p"), 4).await.unwrap();
    let mut of_owner = fresh.commands(&[(PartitionId(0), 0), (PartitionId(1), 0)]).await.unwrap();
    let first = incarnation(&*fresh).await;

    outside.delete(&format!("{}.steps.p", fresh.prefix)).await;
    assert!(in_time(stream.recv(1)).await.is_err());
    let mut stream = reopened(&*fresh, 4).await;
    let second = changed(&*fresh, &first).await;
    fresh.publish_steps(steps(&numbered(0..9))).await.unwrap();
    take_and_ack(&mut *stream, &numbered(0..9)).await;

    outside.delete(&format!("{}.commands.1", fresh.prefix)).await;
    assert!(in_time(of_owner.recv(1)).await.is_err());
    drop(of_owner);
    let mut of_owner = fresh.commands(&[(PartitionId(0), 0), (PartitionId(1), 0)]).await.unwrap();
    changed(&*fresh, &second).await;
    fresh.publish_commands(commands(1, &numbered(0..1))).await.unwrap();
    assert_eq!(in_time(of_owner.recv(9)).await.unwrap().0.len(), 1);
}

/// Nobody listens, nobody publishes any more: its publisher looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pools_queue_that_goes_while_nobody_uses_it_is_told() {
    let fresh = fresh().await;
    fresh.publish_steps(steps(&numbered(0..1))).await.unwrap();
    let first = incarnation(&*fresh).await;
    Outside::new().await.delete(&format!("{}.steps.p", fresh.prefix)).await;
    changed(&*fresh, &first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_queues_deleted_is_told_once_it_is_over() {
    for with_the_mark in [false, true] {
        let fresh = fresh().await;
        let other = fresh.another().await;
        let outside = Outside::new().await;
        let mut stream = fresh.steps(&pool("p"), 4).await.unwrap();
        let mut of_owner = other.commands(&[(PartitionId(0), 0), (PartitionId(1), 0)]).await.unwrap();
        fresh.publish_steps(steps(&numbered(0..3))).await.unwrap();
        let first = incarnation(&*fresh).await;
        assert_eq!(incarnation(&*other).await, first);
        for queue in fresh.names().iter().chain(with_the_mark.then_some(&fresh.mark())) {
            outside.delete(queue).await;
        }
        until_broken(&mut *stream).await;
        assert!(in_time(of_owner.recv(9)).await.is_err());
        drop((stream, of_owner));
        let mut stream = reopened(&*fresh, 4).await;
        let mut of_owner = other.commands(&[(PartitionId(0), 0), (PartitionId(1), 0)]).await.unwrap();
        other.publish_steps(steps(&numbered(3..9))).await.unwrap();
        // One is opened anew when another loss is told meanwhile.
        while in_time(stream.recv(9)).await.is_err() {
            stream = reopened(&*fresh, 4).await;
        }
        fresh.publish_commands(commands(1, &numbered(0..1))).await.unwrap();
        while in_time(of_owner.recv(9)).await.is_err() {
            of_owner = other.commands(&[(PartitionId(0), 0), (PartitionId(1), 0)]).await.unwrap();
        }
        let last = changed(&*fresh, &first).await;
        lasts(&*fresh, &last).await;
        assert_eq!(incarnation(&*other).await, last);
    }
}

/// A broker may forget to tell a consumer that its queue is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_any_queue_is_found_lost() {
    let fresh = fresh().await;
    let other = fresh.another().await;
    other.publish_steps(vec![(pool("a"), message("x"))]).await.unwrap();
    let mut stream = fresh.steps(&pool("p"), 4).await.unwrap();
    incarnation(&*fresh).await;
    Outside::new().await.delete(&format!("{}.steps.a", fresh.prefix)).await;
    let error = in_time(stream.recv(1)).await.unwrap_err();
    assert!(error.source.unwrap().to_string().contains("queues were lost"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_read_the_same() {
    let fresh = fresh().await;
    let first = incarnation(&*fresh).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(fresh.another().await);
    }
    for _ in 0..3 {
        let read = futures::future::join_all(others.iter().map(|queue| incarnation(&**queue))).await;
        assert!(read.iter().all(|text| *text == first), "{read:?}");
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_prefixes_are_apart() {
    let (one, two) = (fresh().await, fresh().await);
    assert_ne!(incarnation(&*one).await, incarnation(&*two).await);
    one.publish_steps(steps(&numbered(0..5))).await.unwrap();
    two.publish_steps(steps(&numbered(5..9))).await.unwrap();
    let mut of_two = two.steps(&pool("p"), 100).await.unwrap();
    take_and_ack(&mut *of_two, &numbered(5..9)).await;
    let mut owner_of_two = two.commands(&[(PartitionId(1), 0)]).await.unwrap();
    one.publish_commands(commands(1, &numbered(0..5))).await.unwrap();
    one.nudge(&[PartitionId(1)]).await;
    let quiet = Duration::from_millis(300);
    assert!(tokio::time::timeout(quiet, of_two.recv(9)).await.is_err());
    assert!(tokio::time::timeout(quiet, owner_of_two.recv(9)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_queue_ends_its_streams() {
    let fresh = fresh().await;
    let mut stream = fresh.steps(&pool("p"), 1).await.unwrap();
    let (ended, ()) = tokio::join!(in_time(stream.recv(1)), async { fresh.close() });
    assert_eq!(ended.unwrap_err().kind, Kind::Closed);
    assert_eq!(fresh.publish_steps(steps(&numbered(0..1))).await.unwrap_err().kind, Kind::Closed);
    assert_eq!(fresh.incarnation().await.unwrap_err().kind, Kind::Closed);
}

#[tokio::test]
async fn what_is_not_there_is_said_so_in_time() {
    let nobody = aidt_queue_rabbitmq::Options {
        connect_timeout: Duration::from_millis(500),
        ..options("amqp://127.0.0.1:1/%2f".to_owned(), "test")
    };
    let refused = in_time(RabbitQueue::connect(nobody)).await;
    assert!(matches!(refused.map(|_| ()), Err(Error::Connect { source: Some(_), .. })));
}
