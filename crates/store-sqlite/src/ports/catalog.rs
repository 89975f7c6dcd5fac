//! Documents by content.

use super::Result;
use crate::SqliteStore;
use crate::error::Failed;
use crate::write::put_documents;
use aidt_domain::Digest;
use aidt_store::Catalog;
use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

#[async_trait]
impl Catalog for SqliteStore {
    async fn documents(&self, digests: &[Digest]) -> Result<Vec<Bytes>> {
        let kept: Vec<Option<Bytes>> = digests.iter().map(|digest| self.documents.get(digest)).collect();
        let missing: Vec<Digest> =
            digests.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(digest, _)| *digest).collect();
        if missing.is_empty() {
            return Ok(kept.into_iter().flatten().collect());
        }
        let wanted = missing.clone();
        let read = self
            .readers
            .read("documents", move |connection| {
                wanted.iter().map(|digest| document(connection, digest)).collect::<std::result::Result<Vec<_>, _>>()
            })
            .await?;
        for (digest, bytes) in missing.iter().zip(&read) {
            self.documents.keep(*digest, bytes.clone());
        }
        let mut read = read.into_iter();
        Ok(kept.into_iter().filter_map(|kept| kept.or_else(|| read.next())).collect())
    }

    async fn put_documents(&self, documents: &[(Digest, Bytes)]) -> Result<()> {
        let documents = documents.to_vec();
        self.core.write("put_documents", move |tx| put_documents(tx, &documents)).await
    }
}

fn document(connection: &Connection, digest: &Digest) -> std::result::Result<Bytes, Failed> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM documents WHERE digest = ?1")?;
    let bytes: Option<Vec<u8>> = statement.query_row([digest.0], |row| row.get(0)).optional()?;
    bytes.map(Bytes::from).ok_or_else(|| Failed::not_found(format!("document {digest}")))
}
