//! The certificate of a server, in its folder.

use super::create;
use crate::{Error, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where the two files are.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

fn paths(folder: &Path) -> Files {
    Files { certificate: folder.join("tls/certificate.pem"), key: folder.join("tls/key.pem") }
}

/// Those of a server that was given some.
pub(crate) fn files(folder: &Path) -> Option<Files> {
    Some(paths(folder)).filter(|files| files.certificate.is_file() && files.key.is_file())
}

/// PEM texts.
pub(crate) fn write(folder: &Path, certificate: &str, key: &str) -> Result<()> {
    create(&folder.join("tls"))?;
    let files = paths(folder);
    super::write(&files.certificate, certificate)?;
    super::write(&files.key, key)?;
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).map_err(Error::file("close", &files.key))
}
