//! The book-keeping, without a Redis.

use super::*;
use aidt_lock::{LIVE_BUFFER, LIVE_BYTES};
use futures::FutureExt as _;

fn connected() -> Arc<Fanout> {
    let fanout = Arc::<Fanout>::default();
    fanout.connected(1);
    fanout
}

fn told(fanout: &Fanout) -> (Vec<String>, Vec<String>) {
    let changes = fanout.changes().now_or_never().unwrap_or_default();
    let texts = |names: Vec<Arc<str>>| names.iter().map(|name| name.to_string()).collect();
    (texts(changes.join), texts(changes.leave))
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// A subscription that Redis has confirmed.
fn subscribed(fanout: &Arc<Fanout>, name: &str) -> Subscription {
    let (subscription, confirmed) = fanout.subscribe(name).unwrap();
    assert_eq!(told(fanout), (vec![name.to_owned()], vec![]));
    fanout.confirmed(1, name);
    confirmed.now_or_never().unwrap().unwrap();
    subscription
}

#[test]
fn without_a_connection_there_is_no_subscribing() {
    assert!(Arc::<Fanout>::default().subscribe("c").is_none());
}

#[test]
fn a_message_before_the_confirmation_is_not_for_who_asked() {
    let fanout = connected();
    let mut early = subscribed(&fanout, "c");
    let (mut late, confirmed) = fanout.subscribe("c").unwrap();
    // A confirmation of an earlier question is not this one's.
    fanout.confirmed(1, "c");
    assert!(confirmed.now_or_never().is_none());
    fanout.deliver(1, "c", text("x"));
    assert_eq!(early.next().now_or_never(), Some(Some(text("x"))));
    assert_eq!(late.next().now_or_never(), None);
}

#[test]
fn the_last_who_leaves_unsubscribes() {
    let fanout = connected();
    let (one, two) = (subscribed(&fanout, "c"), subscribed(&fanout, "c"));
    drop(one);
    assert_eq!(told(&fanout), (vec![], vec![]));
    drop(two);
    assert_eq!(told(&fanout), (vec![], vec!["c".to_owned()]));
    assert_eq!(fanout.len(), 0);
}

#[test]
fn who_comes_when_the_last_has_left_keeps_the_channel() {
    let fanout = connected();
    drop(subscribed(&fanout, "c"));
    let _new = fanout.subscribe("c").unwrap();
    assert_eq!(told(&fanout), (vec!["c".to_owned()], vec![]));
}

#[test]
fn who_gives_up_waiting_leaves_nothing() {
    let fanout = connected();
    drop(fanout.subscribe("never asked").unwrap());
    let asked = fanout.subscribe("asked").unwrap();
    told(&fanout);
    drop(asked);
    assert_eq!(fanout.len(), 0);
}

#[test]
fn a_new_connection_is_told_everything_and_an_old_one_nothing_more() {
    let fanout = connected();
    let mut stays = subscribed(&fanout, "c");
    let (_waits, confirmed) = fanout.subscribe("d").unwrap();
    fanout.disconnected();
    assert!(confirmed.now_or_never().unwrap().is_err());
    assert!(fanout.subscribe("e").is_none());
    fanout.connected(2);
    assert_eq!(told(&fanout), (vec!["c".to_owned()], vec![]));
    fanout.deliver(1, "c", text("old"));
    fanout.deliver(2, "c", text("new"));
    assert_eq!(stays.next().now_or_never(), Some(Some(text("new"))));
}

#[test]
fn who_lags_loses_the_oldest_only() {
    let fanout = connected();
    let mut slow = subscribed(&fanout, "c");
    for n in 0..LIVE_BUFFER + 10 {
        fanout.deliver(1, "c", Bytes::from(n.to_string()));
    }
    for n in 10..LIVE_BUFFER + 10 {
        assert_eq!(slow.next().now_or_never(), Some(Some(Bytes::from(n.to_string()))));
    }
    for n in [1, 2, 3] {
        fanout.deliver(1, "c", Bytes::from(vec![n; LIVE_BYTES]));
    }
    assert_eq!(slow.next().now_or_never().flatten().unwrap()[0], 3);
    assert_eq!(slow.next().now_or_never(), None);
}

#[test]
fn ending_ends_everybody() {
    let fanout = connected();
    let mut live = subscribed(&fanout, "c");
    fanout.deliver(1, "c", text("last"));
    fanout.end();
    assert_eq!(live.next().now_or_never(), Some(Some(text("last"))));
    assert_eq!(live.next().now_or_never(), Some(None));
    assert!(fanout.subscribe("c").is_none());
}
