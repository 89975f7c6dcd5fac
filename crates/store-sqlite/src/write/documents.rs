//! Documents by content.

use super::Tx;
use crate::error::Failed;
use aidt_domain::Digest;
use bytes::Bytes;
use rusqlite::params;

/// Stores documents; what is there already stays.
pub(crate) fn put_documents(tx: &mut Tx<'_>, documents: &[(Digest, Bytes)]) -> Result<(), Failed> {
    for (digest, bytes) in documents {
        tx.execute(
            "INSERT INTO documents (digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![digest.0, &bytes[..]],
        )?;
    }
    Ok(())
}
