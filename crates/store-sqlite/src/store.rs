//! The store: its connections, its queue and its thread.

use crate::clock::StoreClock;
use crate::counters::{Counters, Figures};
use crate::error::{Failed, OpenError};
use crate::open::{self, Options};
use crate::queue::{Queue, job};
use crate::read::{Documents, Readers};
use crate::rows::bound;
use crate::schema;
use crate::write::Tx;
use crate::writer::{Writer, log_pages};
use aidt_domain::PartitionId;
use aidt_store::{Kind, StoreError};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How many transactions pass between two looks at the length of the log.
const LOOK_AT_LOG: u64 = 32;

/// All ports over one SQLite file. Blocks the caller's thread for the time of a commit in `commit`, `take`
/// and `ask_to_stop`, and for a short read in the owner's loads.
#[derive(Debug)]
pub struct SqliteStore {
    pub(crate) core: Arc<Core>,
    /// The owner's loads: it waits for nobody else's reads.
    loads: Mutex<Connection>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) documents: Documents,
    flusher: Option<JoinHandle<()>>,
}

/// What the store's thread shares with its callers.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) path: PathBuf,
    pub(crate) partitions: u16,
    pub(crate) clock: StoreClock,
    writer: Mutex<Writer>,
    queue: Queue,
    figures: Figures,
    checkpoint_pages: u32,
}

impl SqliteStore {
    /// Opens the file, creating it (and its folder, for its user alone) when it is not there.
    ///
    /// # Errors
    /// When it cannot be opened, is not aidt's, is of a newer schema, or has other partitions.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Arc<Self>, OpenError> {
        let path = path.as_ref();
        open::create(path)?;
        let mut connection = open::writer(path)?;
        schema::migrate(&mut connection, path)?;
        schema::install(&mut connection, path, options.partitions.max(1))?;
        let core = Arc::new(Core {
            path: path.to_owned(),
            partitions: options.partitions.max(1),
            clock: StoreClock::new(options.clock),
            writer: Mutex::new(Writer::new(connection)),
            queue: Queue::default(),
            figures: Figures::default(),
            checkpoint_pages: options.checkpoint_pages,
        });
        let copier = open::writer(path)?;
        let thread = core.clone();
        let flusher = std::thread::Builder::new()
            .name("aidt-store".to_owned())
            .spawn(move || thread.serve_queue(&copier))
            .map_err(OpenError::Thread)?;
        Ok(Arc::new(Self {
            core,
            loads: Mutex::new(open::reader(path)?),
            readers: Arc::new(Readers::new(path.to_owned(), options.readers)),
            documents: Documents::default(),
            flusher: Some(flusher),
        }))
    }

    /// What has been written since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.core.figures.read()
    }

    /// Reads on the caller's thread what is committed.
    pub(crate) fn load_now<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failed>,
    ) -> Result<T, StoreError> {
        let connection = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection).map_err(|failed| failed.of(operation, &self.core.path))
    }

    pub(crate) fn check_partition(&self, operation: &'static str, partition: PartitionId) -> Result<(), StoreError> {
        if partition.0 < self.core.partitions {
            return Ok(());
        }
        let message = format!("there is no partition {partition}: the store has {}", self.core.partitions);
        Err(StoreError::new(operation, Kind::Invalid, message))
    }
}

impl Drop for SqliteStore {
    /// Writes what waits, and lets go of the file.
    fn drop(&mut self) {
        self.core.queue.close();
        if let Some(thread) = self.flusher.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl Core {
    /// Writes on the caller's thread, together with everything that waits.
    pub(crate) fn write_now<T, F>(&self, operation: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, Failed> + Send + 'static,
    {
        let (own, mut answer) = job(operation, work);
        let mut writer = self.writer();
        let mut jobs = self.queue.drain();
        jobs.push(own);
        self.transact(&mut writer, jobs);
        drop(writer);
        answer.try_recv().expect("a job is answered with its transaction")
    }

    /// Writes with whoever's transaction is next. Dropped before the answer, it may still be written.
    pub(crate) async fn write<T, F>(&self, operation: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, Failed> + Send + 'static,
    {
        let (own, answer) = job(operation, work);
        self.queue.push(operation, own)?;
        answer.await.unwrap_or_else(|_| {
            let message = "the store's thread ended before it answered";
            Err(StoreError::new(operation, Kind::Unknown, message))
        })
    }

    fn transact(&self, writer: &mut Writer, mut jobs: Vec<Box<dyn crate::queue::Job>>) {
        let count = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
        let result = writer.transact(&mut jobs, self.clock.now(), self.partitions);
        if let Ok(written) = &result {
            self.figures.committed(written.statements, written.rows, count);
        }
        for job in jobs {
            job.answer(result.as_ref().map(drop), &self.path);
        }
        let long = i64::from(self.checkpoint_pages);
        let much = result.is_ok_and(|written| bound(written.rows) >= long);
        if much || self.figures.read().transactions.is_multiple_of(LOOK_AT_LOG) {
            match writer.log() {
                Ok((pages, copied)) if pages - copied >= long => {
                    self.queue.ask_for_checkpoint();
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the length of the log could not be read"),
            }
        }
    }

    /// The store's own thread: commits what waits while the owner is idle, and keeps the log short.
    fn serve_queue(&self, copier: &Connection) {
        loop {
            let work = self.queue.wait();
            if work.jobs {
                let mut writer = self.writer();
                let jobs = self.queue.drain();
                if !jobs.is_empty() {
                    self.transact(&mut writer, jobs);
                }
            }
            if work.checkpoint
                && let Err(error) = self.checkpoint(copier)
            {
                tracing::warn!(%error, path = %self.path.display(), "the log could not be copied; it grows");
            }
            if work.closing && !work.jobs {
                return;
            }
        }
    }

    /// Copies the log beside the writer, then the little that came in the meantime without it.
    fn checkpoint(&self, copier: &Connection) -> rusqlite::Result<()> {
        log_pages(copier, "PRAGMA wal_checkpoint(PASSIVE)")?;
        let (_, copied) = self.writer().finish_checkpoint()?;
        self.figures.checkpointed(u64::try_from(copied).unwrap_or(0));
        Ok(())
    }

    /// A connection is whole after a panic: its open transaction was rolled back or will be.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
