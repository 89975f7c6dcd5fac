//! The log on standard error.

use crate::config::{Console, Format};
use tracing_subscriber::EnvFilter;

/// Installs the log for the whole process; the first call wins. A filter that cannot be read, which
/// `Config::from_vars` refuses, means errors only.
pub(crate) fn install(console: &Console) {
    let filter = EnvFilter::try_new(&console.filter).unwrap_or_else(|_| EnvFilter::new("error"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Another subscriber is there already only in tests.
    let _installed = match console.format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().try_init(),
    };
}
