//! Postgres against the suite that every store runs.

use crate::common::Schema;
use aidt_store::Store;
use aidt_store::conformance::{Fixture, ManualClock, PARTITIONS, reopen};
use aidt_store_postgres::PostgresStore;
use std::sync::Arc;

async fn store(schema: &Schema, clock: Arc<ManualClock>) -> Store {
    let options = aidt_store_postgres::Options { clock: Some(clock), ..schema.options(PARTITIONS) };
    Store::new(PostgresStore::connect(options).await.unwrap_or_else(|error| panic!("{error}: {error:?}")))
}

async fn open() -> Fixture {
    let schema = Schema::new();
    let clock = Arc::new(ManualClock::default());
    Fixture::new(store(&schema, clock.clone()).await, clock).keeping(schema)
}

aidt_store::conformance!(open);

#[tokio::test]
async fn opened_again_everything_is_there() {
    let schema = Schema::new();
    reopen::everything_is_still_there(async |clock| store(&schema, clock).await).await;
}
