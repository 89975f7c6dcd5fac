//! A worker's hello: who may come in, and with which tools.

use super::admission::Refused;
use super::frames::{CallId, Said, cut, read_result};
use super::serve::Inner;
use aidt_domain::{Digest, Pool, WorkerId};
use aidt_proto::v1;
use std::collections::{BTreeMap, BTreeSet};
use tonic::Status;

const PROTOCOL: u32 = 1;
const MAX_SLOTS: u32 = 1024;
const MAX_TOOLS: usize = 4096;
const MAX_CALLS: usize = 16 * 1024;

/// A hello that was let in.
pub(super) struct Admitted {
    pub(super) worker: WorkerId,
    pub(super) name: String,
    pub(super) pool: Pool,
    pub(super) slots: u32,
    pub(super) tools: BTreeMap<Digest, String>,
    pub(super) refused: Vec<String>,
    pub(super) running: BTreeSet<CallId>,
    pub(super) unreported: Vec<Said>,
    pub(super) clock_ms: i64,
}

/// Checks a hello. The status says what is wrong with it.
pub(super) fn admit(hub: &Inner, hello: v1::Hello) -> Result<Admitted, Status> {
    let bad = |what: String| Status::invalid_argument(what);
    let pool = Pool::new(&hello.pool).map_err(|e| bad(e.to_string()))?;
    match hub.config.admission.check(&hello.token, &pool) {
        Ok(()) => {}
        Err(Refused::UnknownToken) => return Err(Status::unauthenticated("the token is not known")),
        Err(Refused::Pool) => {
            return Err(Status::permission_denied(format!("the token does not admit to the pool '{pool}'")));
        }
    }
    if hello.protocol != PROTOCOL {
        let found = hello.protocol;
        return Err(bad(format!("protocol {found} is not spoken here: state {PROTOCOL}")));
    }
    let worker: WorkerId = hello.worker.parse().map_err(|e: aidt_domain::IdError| bad(e.to_string()))?;
    if !(1..=MAX_SLOTS).contains(&hello.slots) {
        return Err(bad(format!("slots must be 1 to {MAX_SLOTS}, not {}", hello.slots)));
    }
    if hello.tools.len() > MAX_TOOLS || hello.running.len().max(hello.unreported.len()) > MAX_CALLS {
        return Err(bad(format!("at most {MAX_TOOLS} tools, {MAX_CALLS} running calls and as many results")));
    }
    let (tools, refused) = check_tools(hub, &pool, &hello.tools);
    let name = if hello.name.is_empty() { hello.worker } else { cut(hello.name) };
    Ok(Admitted {
        worker,
        name,
        pool,
        slots: hello.slots,
        tools,
        refused,
        running: hello.running.iter().filter_map(|id| CallId::read(Some(id))).collect(),
        unreported: hello.unreported.into_iter().filter_map(read_result).collect(),
        clock_ms: hello.clock_ms,
    })
}

/// What a worker announces is checked against the operator's entries: capability and effect come from
/// there. An empty digest means "whatever the operator's entry says".
fn check_tools(hub: &Inner, pool: &Pool, tools: &[v1::Tool]) -> (BTreeMap<Digest, String>, Vec<String>) {
    let (mut served, mut refused) = (BTreeMap::new(), Vec::new());
    for v1::Tool { name, entry_digest } in tools {
        let Some((owner, digest)) = hub.tools.get(name) else {
            refused.push(format!("{}: the catalogue does not list it", cut(name.clone())));
            continue;
        };
        if owner != pool {
            refused.push(format!("{name}: the catalogue lists it for the pool '{owner}'"));
        } else if !entry_digest.is_empty() && *entry_digest != digest.to_string() {
            refused.push(format!("{name}: the catalogue's entry is {digest}"));
        } else {
            served.insert(*digest, name.clone());
        }
    }
    (served, refused)
}
