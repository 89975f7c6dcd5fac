//! How tool workers and step consumers show each other who they are: each has a certificate, and both know who
//! vouches for the other's.

use super::names::{self, Name};
use super::source::{Secret, Source, invalid};
use aidt_cli::HostError;
use std::path::Path;

/// PEM texts, as the three files had them at the start.
#[derive(Clone, Debug)]
pub(crate) struct WorkerTls {
    /// Who vouches for the other side.
    pub(crate) ca: String,
    /// Our certificate, those between it and the CA after it.
    pub(crate) cert: String,
    /// Its key.
    pub(crate) key: Secret,
}

impl WorkerTls {
    /// All three, or none.
    pub(super) fn read(source: &Source<'_>, cwd: &Path) -> Result<Option<Self>, HostError> {
        let all = [names::WORKER_TLS_CA_FILE, names::WORKER_TLS_CERT_FILE, names::WORKER_TLS_KEY_FILE];
        let pem = |name: &Name| source.pem(name, cwd);
        match (pem(all[0])?, pem(all[1])?, pem(all[2])?) {
            (Some(ca), Some(cert), Some(key)) => Ok(Some(Self { ca, cert, key: Secret::new(key) })),
            (None, None, None) => Ok(None),
            _ => {
                let names: Vec<&str> = all.iter().map(|name| name.name).collect();
                Err(invalid(format!("{} belong together: set all three or none", names.join(", "))))
            }
        }
    }
}

/// What to set, for errors.
pub(super) fn needed() -> String {
    let [ca, cert, key] = [names::WORKER_TLS_CA_FILE, names::WORKER_TLS_CERT_FILE, names::WORKER_TLS_KEY_FILE];
    format!("set {}, {} and {}", ca.name, cert.name, key.name)
}
