//! What `aidt bench` measures: every service of this binary over a home of its own, in this process
//! (`home`), or in processes of their own over servers (`servers`, which starts each by `child`, finds the
//! servers' processes by `port` and asks the adapters for `limits`).

mod child;
mod home;
mod limits;
mod port;
mod servers;

use crate::settings::Settings;
use aidt_bench::Bed;
use aidt_cli::{BenchOn, HostError};
use aidt_runtime::Ids;

/// The bed that flags and environment ask for.
pub(crate) fn bed(on: &BenchOn, ids: &Ids) -> Result<Box<dyn Bed>, HostError> {
    let settings = Settings::bench(on)?;
    if !settings.adapters.is_shared() {
        return Ok(Box::new(home::HomeBed));
    }
    // Names of its own, and for each bench others: they begin with a letter.
    let random: String = ids.bytes::<5>().iter().map(|byte| format!("{byte:02x}")).collect();
    let prefix = format!("bench-{random}");
    Ok(Box::new(servers::ServersBed::new(settings, prefix, on.replicas, (ids.token(), ids.token()))))
}
