//! What goes over the wire.

use super::support::*;
use aidt_domain::Timestamp;
use aidt_queue::{Outgoing, Queue};
use futures::StreamExt as _;
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_says_what_it_is() {
    let fresh = fresh().await;
    let traced = Outgoing { traceparent: Some(TRACE.to_owned()), ..message("body") };
    fresh.publish_steps(vec![(pool("p"), traced)]).await.unwrap();
    let outside = Outside::new().await;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let queue = format!("{}.steps.p", fresh.prefix);
    let consumer = outside.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let seen = in_time(consumer.await.unwrap().next()).await.unwrap().unwrap();
    assert_eq!(seen.data, b"\x01\x00\x00\x00\x00\x04body");
    let (properties, headers) = (&seen.properties, seen.properties.headers().as_ref().unwrap().inner());
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/vnd.aidt.frame");
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(headers.get("traceparent"), Some(&AMQPValue::LongString(TRACE.into())));
    assert_eq!(headers.get("aidt-published-at"), Some(&AMQPValue::LongLongInt(1_795_267_086_001)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_step_is_not_doubtful_and_says_when_it_was_published() {
    let fresh = fresh().await;
    fresh.publish_steps(steps(&numbered(0..1))).await.unwrap();
    let mut stream = fresh.steps(&pool("p"), 1).await.unwrap();
    let taken = in_time(stream.recv(1)).await.unwrap();
    assert!(!taken[0].doubtful);
    assert_eq!(taken[0].published_at, Some(Timestamp(1_795_267_086_001)));
}

/// Whatever it is, whoever takes it decides, and can bury it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_message_arrives_whole_and_doubtful() {
    let fresh = fresh().await;
    let mut stream = fresh.steps(&pool("p"), 4).await.unwrap();
    let outside = Outside::new().await;
    let broken = BasicProperties::default().with_content_type("application/vnd.aidt.frame".into());
    for (body, properties) in [(&b"\x01bare"[..], BasicProperties::default()), (b"\x01\0\xff\xff\xff\xff", broken)] {
        let (queue, options) = (format!("{}.steps.p", fresh.prefix), BasicPublishOptions::default());
        outside.channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap();
        let taken = in_time(stream.recv(4)).await.unwrap();
        assert_eq!((&taken[0].body[..], taken[0].doubtful, taken[0].published_at), (body, true, None));
        stream.ack(&tags(&taken)).await.unwrap();
    }
}

/// A process of the next format takes it; this one must neither bury nor lose it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_frame_is_left_alone() {
    let fresh = fresh().await;
    let mut stream = fresh.steps(&pool("p"), 8).await.unwrap();
    let outside = Outside::new().await;
    let queue = format!("{}.steps.p", fresh.prefix);
    let properties = BasicProperties::default().with_content_type("application/vnd.aidt.frame".into());
    let options = BasicPublishOptions::default();
    outside.channel.basic_publish("".into(), queue.as_str().into(), options, b"\x02new", properties).await.unwrap();
    fresh.publish_steps(steps(&numbered(0..4))).await.unwrap();
    take_and_ack(&mut *stream, &numbered(0..4)).await;
    drop(stream);
    eventually("the newer message is back", async || outside.depth(&queue).await == 1).await;
}
