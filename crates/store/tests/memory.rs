//! The in-memory store against the suite that every adapter runs.

use aidt_store::Store;
use aidt_store::conformance::{Fixture, ManualClock, PARTITIONS, reopen};
use aidt_store::memory::MemoryStore;
use std::sync::Arc;

async fn open() -> Fixture {
    let clock = Arc::new(ManualClock::default());
    Fixture::new(Store::new(MemoryStore::new(PARTITIONS, clock.clone())), clock)
}

aidt_store::conformance!(open);

#[tokio::test]
async fn it_outlives_whoever_used_it() {
    let durable = std::sync::OnceLock::new();
    reopen::everything_is_still_there(async |clock| {
        Store::new(durable.get_or_init(|| MemoryStore::new(PARTITIONS, clock)).clone())
    })
    .await;
}
