//! The fence: partitions whose epoch is still the owner's.

use super::{Checked, Parts};
use sqlx::postgres::PgBindIterExt;

/// Locks the partitions in their order, then writes their rows. One that somebody else is taking is waited for,
/// and looked at again: it is not held any more.
pub(super) fn write(parts: &mut Parts, batches: &[Checked]) {
    let all = || batches.iter().map(|checked| &checked.batch);
    let id = parts.place(all().map(|batch| i32::from(batch.partition.0)).bind_iter());
    let epoch = parts.place(all().map(|batch| batch.epoch.0.cast_signed()).bind_iter());
    let published = parts.place(all().map(|batch| batch.published.0.cast_signed()).bind_iter());
    let out_seq = parts.place(all().map(|batch| batch.out_seq.0.cast_signed()).bind_iter());
    let cursor = parts.place(all().map(|batch| batch.cursor).bind_iter());
    let batch_id = parts.place(all().map(|batch| batch.batch_id.0.cast_signed()).bind_iter());
    let incarnation = parts.place(all().map(|batch| batch.incarnation.as_bytes()).bind_iter());
    parts.with(
        "fenced",
        &format!(
            "SELECT p.id FROM unnest({id}::integer[], {epoch}::bigint[]) AS b (id, epoch) \
             JOIN partitions p ON p.id = b.id AND p.epoch = b.epoch ORDER BY p.id FOR NO KEY UPDATE OF p"
        ),
    );
    parts.with(
        "held",
        &format!(
            "UPDATE partitions p SET published = b.published, out_seq = b.out_seq, cursor = b.cursor, \
             batch_id = b.batch_id, incarnation = b.incarnation \
             FROM unnest({id}::integer[], {published}::bigint[], {out_seq}::bigint[], {cursor}::bigint[], \
             {batch_id}::bigint[], {incarnation}::bytea[]) \
             AS b (id, published, out_seq, cursor, batch_id, incarnation) \
             WHERE p.id = b.id AND p.id = ANY (ARRAY(SELECT id FROM fenced)) RETURNING p.id"
        ),
    );
}
