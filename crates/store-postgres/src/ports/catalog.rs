//! Documents by content.

use super::Result;
use crate::PostgresStore;
use crate::error::Failed;
use crate::rows::{Cells, all};
use crate::statement::Statement;
use aidt_domain::Digest;
use aidt_store::Catalog;
use async_trait::async_trait;
use bytes::Bytes;
use sqlx::postgres::PgBindIterExt;
use std::collections::BTreeMap;

#[async_trait]
impl Catalog for PostgresStore {
    async fn documents(&self, digests: &[Digest]) -> Result<Vec<Bytes>> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT digest, bytes FROM documents WHERE digest = ANY ($1::bytea[])";
        let statement = Statement::new(sql).with(digests.iter().map(|digest| &digest.0[..]).bind_iter());
        let rows = self.read("documents", statement).await?;
        let read = all(&rows, |row| {
            let mut cells = Cells::of(row);
            Ok((cells.digest()?, cells.bytes()?))
        });
        let found: BTreeMap<Digest, Bytes> = read.map_err(|failed| failed.of("documents"))?.into_iter().collect();
        digests
            .iter()
            .map(|digest| {
                let bytes = found.get(digest).cloned();
                bytes.ok_or_else(|| Failed::not_found(format!("document {digest}")).of("documents"))
            })
            .collect()
    }

    async fn put_documents(&self, documents: &[(Digest, Bytes)]) -> Result<()> {
        if documents.is_empty() {
            return Ok(());
        }
        // In the order of their digests, as everybody inserts them: nobody waits in a ring.
        let ordered: BTreeMap<&Digest, &Bytes> = documents.iter().map(|(digest, bytes)| (digest, bytes)).collect();
        let statement = Statement::new(
            "INSERT INTO documents (digest, bytes) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
             ON CONFLICT (digest) DO NOTHING",
        );
        let statement = statement
            .with(ordered.keys().map(|digest| &digest.0[..]).bind_iter())
            .with(ordered.values().map(|bytes| &bytes[..]).bind_iter());
        self.write("put_documents", statement).await.map(drop)
    }
}
