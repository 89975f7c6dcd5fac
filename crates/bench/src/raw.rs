//! The disk's own limits, measured in the same run: what a step is compared with.

use crate::BenchError;
use rusqlite::Connection;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(1);
const SYNCS: usize = 200;

/// What the disk does when nothing else is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Raw {
    /// Transactions of one row each that SQLite commits in a second (WAL, `synchronous=FULL`).
    pub sqlite_commits_per_s: f64,
    /// Median time to append 4 KiB to a file and wait for the disk (`fdatasync`), in milliseconds.
    pub fsync_ms: f64,
}

impl Raw {
    /// Measures in `folder`; takes about a second.
    pub(crate) fn measure(folder: &Path) -> Result<Self, BenchError> {
        Ok(Self { sqlite_commits_per_s: commits(&folder.join("raw.db"))?, fsync_ms: fsync(&folder.join("raw.log"))? })
    }
}

fn commits(path: &Path) -> Result<f64, BenchError> {
    let failed = |source| BenchError::Raw { path: path.to_owned(), source: Box::new(source) };
    let db = Connection::open(path).map_err(failed)?;
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)",
    )
    .map_err(failed)?;
    let mut insert = db.prepare("INSERT INTO t(v) VALUES (?1)").map_err(failed)?;
    let value = [7_u8; 100];
    let (start, mut done) = (Instant::now(), 0_u32);
    while start.elapsed() < LONG {
        for _ in 0..16 {
            insert.execute([&value[..]]).map_err(failed)?;
        }
        done += 16;
    }
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}

fn fsync(path: &Path) -> Result<f64, BenchError> {
    let failed = |source| BenchError::Raw { path: path.to_owned(), source: Box::new(source) };
    let mut file = std::fs::File::create(path).map_err(failed)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[7; 4096]).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2].as_secs_f64() * 1000.0)
}
