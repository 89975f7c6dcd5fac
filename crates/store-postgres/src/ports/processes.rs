//! Lives of service processes. What keeps a life alive has connections of its own.

use super::Result;
use crate::PostgresStore;
use crate::detail::{digest, from_json, to_json};
use crate::error::Failed;
use crate::rows::{Cells, bound};
use crate::statement::Statement;
use aidt_domain::{Digest, ProcessId, Timestamp};
use aidt_store::{CLOSED_KEPT, ProcessRow, Processed, Processes};
use async_trait::async_trait;
use sqlx::postgres::PgRow;

/// The heartbeat; and claims of the process that are asked to stop, while their dispatch is out. Those that have
/// ended are asked no more. (The states are not in the words of the index of what is out: a step is found by its key.)
const HEARTBEAT: &str = "WITH beat AS (UPDATE processes SET heartbeat = now_ms($2) WHERE id = $1 AND NOT closed \
     RETURNING heartbeat), \
     asked AS (SELECT c.run, c.ix, c.dispatch, EXISTS (SELECT FROM steps s WHERE s.run = c.run AND s.ix = c.ix \
     AND s.dispatch = c.dispatch AND s.state BETWEEN 3 AND 4) AS is_out FROM claims c WHERE c.process = $1 AND c.stop), \
     ended AS (UPDATE claims c SET stop = false FROM (SELECT f.run, f.ix, f.dispatch FROM asked a \
     JOIN claims f ON f.run = a.run AND f.ix = a.ix AND f.dispatch = a.dispatch WHERE NOT a.is_out \
     FOR UPDATE OF f SKIP LOCKED) e WHERE c.run = e.run AND c.ix = e.ix AND c.dispatch = e.dispatch) \
     SELECT coalesce((SELECT heartbeat FROM beat), now_ms($2)), NOT EXISTS (SELECT FROM beat), a.run, a.ix, \
     a.dispatch FROM (VALUES (true)) AS one LEFT JOIN asked a ON a.is_out ORDER BY a.run, a.ix, a.dispatch";

const REGISTER: &str = "WITH forgotten AS (DELETE FROM processes WHERE closed AND id <> $1 \
     AND heartbeat <= now_ms($2) - $3) \
     INSERT INTO processes (id, heartbeat, format, service, slots, tools, policy_revision) \
     VALUES ($1, now_ms($2), $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET heartbeat = excluded.heartbeat, \
     format = excluded.format, service = excluded.service, slots = excluded.slots, tools = excluded.tools, \
     policy_revision = excluded.policy_revision";

const LIVE: &str = "WITH clock AS MATERIALIZED (SELECT now_ms($1) AS now) \
     SELECT clock.now, p.id, p.service, p.slots, p.tools, p.format, p.policy_revision, p.heartbeat, p.closed \
     FROM clock LEFT JOIN processes p ON NOT p.closed AND p.heartbeat >= clock.now - $2 ORDER BY p.id";

#[async_trait]
impl Processes for PostgresStore {
    async fn register(&self, process: ProcessRow) -> Result<()> {
        let tools: Vec<u8> = process.tools.iter().flat_map(|tool| tool.0).collect();
        let statement = Statement::new(REGISTER)
            .with(process.id.0)
            .with(self.clock.given())
            .with(i64::try_from(CLOSED_KEPT.as_millis()).expect("a day"))
            .with(i64::from(process.format))
            .with(process.service.as_bytes())
            .with(to_json(&process.slots))
            .with(tools)
            .with(process.policy_revision.as_bytes());
        self.beat("register", statement).await.map(drop)
    }

    async fn heartbeat(&self, process: ProcessId) -> Result<Processed> {
        let statement = Statement::new(HEARTBEAT).with(process.0).with(self.clock.given());
        let rows = self.beat("heartbeat", statement).await?;
        let mut answer = processed(&rows).map_err(|failed| failed.of("heartbeat"))?;
        answer.now = self.clock.seen(answer.now);
        Ok(answer)
    }

    async fn close(&self, process: ProcessId) -> Result<()> {
        let statement = Statement::new("UPDATE processes SET closed = true WHERE id = $1 AND NOT closed");
        self.beat("close", statement.with(process.0)).await.map(drop)
    }

    async fn close_others(&self, me: ProcessId) -> Result<u32> {
        let sql = "UPDATE processes SET closed = true WHERE id <> $1 AND NOT closed RETURNING 1";
        let rows = self.beat("close_others", Statement::new(sql).with(me.0)).await?;
        Ok(u32::try_from(rows.len()).unwrap_or(u32::MAX))
    }

    async fn live(&self, dead_after_ms: u64) -> Result<(Vec<ProcessRow>, Timestamp)> {
        // Beyond an age of 100 million years, everybody lives.
        let age = bound(dead_after_ms).min(i64::MAX / 4);
        let statement = Statement::new(LIVE).with(self.clock.given()).with(age);
        let rows = self.read("live", statement).await?;
        let (now, live) = lives(&rows).map_err(|failed| failed.of("live"))?;
        Ok((live, self.clock.seen(now)))
    }
}

fn processed(rows: &[PgRow]) -> std::result::Result<Processed, Failed> {
    let mut answer = Processed::default();
    for row in rows {
        let mut cells = Cells::of(row);
        (answer.now, answer.lost) = (cells.time()?, cells.next()?);
        if cells.is_some()? {
            answer.cancels.push((cells.run()?, cells.step()?, cells.dispatch()?));
        }
    }
    Ok(answer)
}

fn lives(rows: &[PgRow]) -> std::result::Result<(Timestamp, Vec<ProcessRow>), Failed> {
    let now = Cells::of(rows.first().ok_or_else(|| Failed::corrupt("the clock was not answered"))?).time()?;
    let mut live = Vec::new();
    for row in rows {
        let mut cells = Cells::of(row);
        cells.time()?;
        if cells.is_some()? {
            live.push(process_row(&mut cells)?);
        }
    }
    Ok((now, live))
}

fn process_row(cells: &mut Cells<'_>) -> std::result::Result<ProcessRow, Failed> {
    Ok(ProcessRow {
        id: ProcessId(cells.next()?),
        service: cells.text()?,
        slots: from_json(cells.slice()?)?,
        tools: cells.slice()?.chunks(32).map(digest).collect::<std::result::Result<Vec<Digest>, _>>()?,
        format: cells.small()?,
        policy_revision: cells.text()?,
        heartbeat: cells.time()?,
        closed: cells.next()?,
    })
}
