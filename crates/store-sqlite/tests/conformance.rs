//! SQLite against the suite that every store runs.

use aidt_store::Store;
use aidt_store::conformance::{Fixture, ManualClock, PARTITIONS, reopen};
use aidt_store_sqlite::{Options, SqliteStore};
use std::path::Path;
use std::sync::Arc;

fn store(folder: &Path, clock: Arc<ManualClock>) -> Store {
    let options = Options::new(PARTITIONS, clock);
    Store::new(SqliteStore::open(folder.join("home/aidt.db"), options).expect("the store opens"))
}

async fn open() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::default());
    Fixture::new(store(folder.path(), clock.clone()), clock).keeping(folder)
}

aidt_store::conformance!(open);

#[tokio::test]
async fn opened_again_everything_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    reopen::everything_is_still_there(async |clock| store(folder.path(), clock)).await;
}
