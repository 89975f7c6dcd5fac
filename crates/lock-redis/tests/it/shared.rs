//! What is shared, by processes and by stacks, and how much one connection carries.

use crate::fixture::{connect, eventually, in_time, next, options, patient, prefix, raw, url};
use aidt_lock::{Lease, Locks, Permit};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn processes_of_a_stack_share_everything() {
    let same = prefix();
    let one = connect(patient(&url(), same.clone())).await;
    let two = connect(patient(&url(), same)).await;
    assert_eq!(one.lease("p", "a", LONG).await.unwrap(), Lease::Held);
    assert_eq!(two.lease("p", "b", LONG).await.unwrap(), Lease::Taken { by: "a".to_owned() });
    assert_eq!(two.leases("").await.unwrap(), [("p".to_owned(), "a".to_owned())]);
    assert_eq!(one.take("b", 0.001, 1).await.unwrap(), Permit::Granted);
    assert_ne!(two.take("b", 0.001, 1).await.unwrap(), Permit::Granted);
    let mut live = two.subscribe("c").await.unwrap();
    one.publish("c", "x".into()).await.unwrap();
    assert_eq!(next(&mut live).await, "x");
}

#[tokio::test]
async fn stacks_do_not_see_each_other() {
    let prefix = prefix();
    let one = connect(patient(&url(), prefix.clone())).await;
    // One that starts as the other does.
    let two = connect(patient(&url(), format!("{prefix}-2"))).await;
    assert_eq!(one.lease("p", "a", LONG).await.unwrap(), Lease::Held);
    assert_eq!(two.lease("p", "b", LONG).await.unwrap(), Lease::Held);
    assert_eq!(one.leases("").await.unwrap(), [("p".to_owned(), "a".to_owned())]);
    one.take("b", 0.001, 1).await.unwrap();
    assert_eq!(two.take("b", 0.001, 1).await.unwrap(), Permit::Granted);
    let (mut in_one, mut in_two) = (one.subscribe("c").await.unwrap(), two.subscribe("c").await.unwrap());
    one.publish("c", "1".into()).await.unwrap();
    two.publish("c", "2".into()).await.unwrap();
    assert_eq!(next(&mut in_two).await, "2");
    assert_eq!(next(&mut in_one).await, "1");
}

async fn subscribed_channels(prefix: &str) -> usize {
    let mut connection = raw(&url()).await;
    let channels: Vec<String> = redis::cmd("PUBSUB")
        .arg("CHANNELS")
        .arg(format!("{prefix}:live:*"))
        .query_async(&mut connection)
        .await
        .unwrap();
    channels.len()
}

#[tokio::test]
async fn ten_thousand_subscriptions_take_one_connection_and_leave_nothing() {
    let prefix = prefix();
    let locks = connect(patient(&url(), prefix.clone())).await;
    let names: Vec<_> = (0..10_000).map(|n| format!("run:{n}")).collect();
    // In waves: what one call may take bounds how many can be asked for at the same time.
    let mut all = Vec::new();
    for wave in names.chunks(2_000) {
        let wave = wave.iter().map(|name| locks.subscribe(name));
        all.extend(in_time("a wave", futures::future::try_join_all(wave)).await.unwrap());
    }
    assert_eq!(subscribed_channels(&prefix).await, names.len());
    for (live, name) in all.iter_mut().zip(&names) {
        locks.publish(name, name.clone().into()).await.unwrap();
        if name.ends_with("999") {
            assert_eq!(next(live).await, *name);
        }
    }
    for (live, name) in all.iter_mut().zip(&names).filter(|(_, name)| !name.ends_with("999")) {
        assert_eq!(next(live).await, *name);
    }
    locks.ready().unwrap();
    drop(all);
    eventually("all are unsubscribed", || async { subscribed_channels(&prefix).await == 0 }).await;
}

#[tokio::test]
async fn a_channel_is_subscribed_once_however_many_listen() {
    let prefix = prefix();
    let locks = connect(patient(&url(), prefix.clone())).await;
    let mut all = Vec::new();
    for _ in 0..100 {
        all.push(locks.subscribe("c").await.unwrap());
    }
    assert_eq!(subscribed_channels(&prefix).await, 1);
    let mut connection = raw(&url()).await;
    let heard: i64 =
        redis::cmd("PUBLISH").arg(format!("{prefix}:live:c")).arg("x").query_async(&mut connection).await.unwrap();
    assert_eq!(heard, 1);
    for live in &mut all {
        assert_eq!(next(live).await, "x");
    }
    all.truncate(1);
    locks.publish("c", "y".into()).await.unwrap();
    assert_eq!(next(&mut all[0]).await, "y");
    all.clear();
    eventually("it is unsubscribed", || async { subscribed_channels(&prefix).await == 0 }).await;
}

#[tokio::test]
async fn coming_and_going_in_any_order_loses_nothing() {
    let locks = connect(options(&url())).await;
    let mut round = 0;
    in_time("all rounds", async {
        while round < 500 {
            let message = round.to_string();
            let mut live = locks.subscribe("c").await.unwrap();
            locks.publish("c", message.clone().into()).await.unwrap();
            assert_eq!(next(&mut live).await, message);
            locks.publish("c", "late".into()).await.unwrap();
            round += 1;
        }
    })
    .await;
}

#[tokio::test]
async fn one_key_of_another_kind_fails_its_calls_only() {
    let prefix = prefix();
    let locks = connect(patient(&url(), prefix.clone())).await;
    let mut connection = raw(&url()).await;
    redis::cmd("LPUSH").arg(format!("{prefix}:lease:p")).arg("x").query_async::<()>(&mut connection).await.unwrap();
    let error = locks.lease("p", "a", LONG).await.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("WRONGTYPE"), "{error:?}");
    assert_eq!(locks.lease("q", "a", LONG).await.unwrap(), Lease::Held);
    locks.ready().unwrap();
}
