//! Commands and idempotency keys.

use super::Result;
use crate::PostgresStore;
use crate::detail::digest;
use crate::error::{Failed, LOST_RACE};
use crate::rows::{Cells, all, bound, inbox_columns, inbox_row};
use crate::statement::Statement;
use aidt_domain::{CommandId, Digest, PartitionId, Project, RunId};
use aidt_store::{IDEMPOTENCY_KEPT, Inbox, InboxRow, Kind, StoreError, Submission, Submitted};
use async_trait::async_trait;
use sqlx::postgres::{PgBindIterExt, PgRow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

/// A command, its key and its documents: all or nothing. What decides is read first, as of the statement's
/// beginning; who was overtaken in between is refused, and looks again.
const SUBMIT: &str = "WITH used AS (SELECT body, run FROM idempotency WHERE key = $7 AND at > now_ms($8) - $9), \
     there AS (SELECT run FROM inbox WHERE id = $2), \
     put AS (INSERT INTO inbox (partition, id, project, run, at, command) \
     SELECT $1, $2, $3, $4, now_ms($8), $5 WHERE NOT EXISTS (SELECT FROM used) AND NOT EXISTS (SELECT FROM there) \
     ON CONFLICT (id) DO NOTHING RETURNING at), \
     keyed AS (INSERT INTO idempotency (key, body, run, at) SELECT $7, $6, $4, put.at FROM put \
     WHERE $7::bytea IS NOT NULL ON CONFLICT (key) DO UPDATE SET body = excluded.body, run = excluded.run, \
     at = excluded.at WHERE idempotency.at <= excluded.at - $9 RETURNING 1), \
     kept AS (INSERT INTO documents (digest, bytes) SELECT * FROM unnest($10::bytea[], $11::bytea[]) AS d \
     WHERE EXISTS (SELECT FROM put) AND ($7::bytea IS NULL OR EXISTS (SELECT FROM keyed)) \
     ON CONFLICT (digest) DO NOTHING) \
     SELECT (SELECT body FROM used), (SELECT run FROM used), (SELECT run FROM there), CASE \
     WHEN EXISTS (SELECT FROM used) OR EXISTS (SELECT FROM there) THEN false \
     WHEN EXISTS (SELECT FROM put) AND ($7::bytea IS NULL OR EXISTS (SELECT FROM keyed)) THEN true \
     ELSE refuse($12, 'another submission was first') = 0 END";

/// How many [`inbox_columns`] are.
const INBOX_COLUMNS: usize = 7;

/// How often a submission looks again.
const LOOKS: u32 = 5;

/// Each so many submissions with a key sweep out keys that are past their time.
const SWEEP_EACH: u64 = 64;

/// At most so many keys in one sweep.
const SWEPT: i64 = 1_000;

#[async_trait]
impl Inbox for PostgresStore {
    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        self.check_partition("submit", submission.row.partition)?;
        if submission.idempotency.is_some() && self.keys.fetch_add(1, Ordering::Relaxed) % SWEEP_EACH == SWEEP_EACH - 1
        {
            self.sweep_keys().await;
        }
        let mut looks = 0;
        loop {
            match self.write("submit", self.submit_statement(&submission)).await {
                Err(error) if error.kind == Kind::Conflict => {
                    looks += 1;
                    if looks == LOOKS {
                        let source = error.source.unwrap_or_else(|| "another submission was first".into());
                        return Err(StoreError::new("submit", Kind::Unavailable, source));
                    }
                }
                answer => return submitted(&answer?, &submission).map_err(|failed| failed.of("submit")),
            }
        }
    }

    /// Rows that are committed, in the order of `seq`. One with a lower `seq` than another may be committed after
    /// it: read from 0 on, and delete what was applied.
    async fn inbox(&self, partition: PartitionId, after: u64, limit: u32) -> Result<Vec<InboxRow>> {
        let statement = Statement::new(concat!(
            "SELECT ",
            inbox_columns!(),
            " FROM inbox WHERE partition = $1 AND seq > $2 ORDER BY seq LIMIT $3"
        ));
        let statement = statement.with(i32::from(partition.0)).with(bound(after)).with(i64::from(limit));
        let rows = self.read("inbox", statement).await?;
        all(&rows, inbox_row).map_err(|failed| failed.of("inbox"))
    }

    async fn inboxes(&self, asked: &[(PartitionId, u64)], limit: u32) -> Result<Vec<Vec<InboxRow>>> {
        if let [(partition, after)] = *asked {
            return Ok(vec![self.inbox(partition, after, limit).await?]);
        }
        let statement = Statement::new(concat!(
            "SELECT ",
            inbox_columns!(),
            ", place FROM unnest($1::integer[], $2::bigint[]) WITH ORDINALITY AS asked (home, after, place) \
             CROSS JOIN LATERAL (SELECT * FROM inbox WHERE partition = home AND seq > after ORDER BY seq LIMIT $3) i \
             ORDER BY place, seq"
        ));
        let statement = statement
            .with(asked.iter().map(|(partition, _)| i32::from(partition.0)).bind_iter())
            .with(asked.iter().map(|(_, after)| bound(*after)).bind_iter())
            .with(i64::from(limit));
        let rows = self.read("inboxes", statement).await?;
        let mut answers = vec![Vec::new(); asked.len()];
        for row in &rows {
            let place: i64 = Cells::from(row, INBOX_COLUMNS).next().map_err(|failed: Failed| failed.of("inboxes"))?;
            let read = inbox_row(row).map_err(|failed| failed.of("inboxes"))?;
            // Places count from 1.
            if let Some(answer) = usize::try_from(place - 1).ok().and_then(|place| answers.get_mut(place)) {
                answer.push(read);
            }
        }
        Ok(answers)
    }

    async fn pending(&self, ids: &[CommandId]) -> Result<Vec<CommandId>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let statement = Statement::new("SELECT id FROM inbox WHERE id = ANY ($1::uuid[])");
        let rows = self.read("pending", statement.with(ids.iter().map(|id| id.0).bind_iter())).await?;
        let there = all(&rows, |row| Ok(CommandId(Cells::of(row).next()?))).map_err(|failed| failed.of("pending"))?;
        let there: BTreeSet<CommandId> = there.into_iter().collect();
        Ok(ids.iter().filter(|id| there.contains(id)).copied().collect())
    }

    async fn waiting(&self, run: RunId) -> Result<Vec<InboxRow>> {
        let sql = concat!("SELECT ", inbox_columns!(), " FROM inbox WHERE run = $1 ORDER BY seq");
        let rows = self.read("waiting", Statement::new(sql).with(run.0)).await?;
        all(&rows, inbox_row).map_err(|failed| failed.of("waiting"))
    }
}

impl PostgresStore {
    fn submit_statement(&self, submission: &Submission) -> Statement {
        let row = &submission.row;
        let key = submission.idempotency.as_ref();
        // In the order of their digests, as everybody inserts them: nobody waits in a ring.
        let documents: BTreeMap<_, _> = submission.documents.iter().map(|(digest, bytes)| (digest, bytes)).collect();
        Statement::new(SUBMIT)
            .with(i32::from(row.partition.0))
            .with(row.id.0)
            .with(row.project.as_str())
            .with(row.run.0)
            .with(&row.command[..])
            .with(key.map(|(_, body)| &body.0[..]))
            .with(key.map(|(key, _)| key_digest(&row.project, key).0.to_vec()))
            .with(self.clock.given())
            .with(kept_ms())
            .with(documents.keys().map(|digest| &digest.0[..]).bind_iter())
            .with(documents.values().map(|bytes| &bytes[..]).bind_iter())
            .with(LOST_RACE)
    }

    /// What is not swept now is swept later.
    async fn sweep_keys(&self) {
        let statement = Statement::new(
            "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE at <= now_ms($1) - $2 \
             ORDER BY at LIMIT $3 FOR UPDATE SKIP LOCKED)",
        );
        let statement = statement.with(self.clock.given()).with(kept_ms()).with(SWEPT);
        if let Err(error) = self.write("sweep_keys", statement).await {
            tracing::debug!(%error, "idempotency keys past their time were not swept out");
        }
    }
}

fn kept_ms() -> i64 {
    i64::try_from(IDEMPOTENCY_KEPT.as_millis()).expect("a day")
}

/// A key may be longer than an index takes.
fn key_digest(project: &Project, key: &str) -> Digest {
    Digest::of(format!("{project}\n{key}").as_bytes())
}

fn submitted(rows: &[PgRow], submission: &Submission) -> std::result::Result<Submitted, Failed> {
    let row = rows.first().ok_or_else(|| Failed::corrupt("a submission was not answered"))?;
    let mut cells = Cells::of(row);
    let (body, keys_run, ids_run) = (cells.next::<Option<&[u8]>>()?, cells.next()?, cells.next()?);
    let asked = submission.idempotency.as_ref().map(|(_, body)| *body);
    Ok(match (body, keys_run, ids_run) {
        (Some(body), Some(run), _) if Some(digest(body)?) == asked => Submitted::Repeated(RunId(run)),
        (Some(_), ..) => Submitted::KeyReused,
        (None, _, Some(run)) => Submitted::Repeated(RunId(run)),
        (None, ..) => Submitted::Accepted,
    })
}
