//! The adapter against a real Redis (or Valkey): what every adapter must do, and what can happen to it.
//!
//! `AIDT_TEST_REDIS_URL` names a server that the tests share, each under a prefix of its own. Tests that
//! kill a server start one themselves: the `redis-server` of the path, or what `AIDT_TEST_REDIS_SERVER`
//! names.

#![expect(clippy::unwrap_used, reason = "a test may panic, and says where")]

mod faults;
mod fixture;
mod gcra;
mod hostile;
mod shared;

mod conformance {
    use aidt_lock::Locks;
    use std::sync::Arc;

    async fn fresh() -> Arc<dyn Locks> {
        Arc::new(crate::fixture::locks().await)
    }

    aidt_lock::lock_conformance!(
        #[tokio::test]
        fresh()
    );
}
