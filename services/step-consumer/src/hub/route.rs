//! Routes: sealed with the call, opened with its result.
//!
//! `MAC (32) | version (1) | partition (2) | run (16) | step (4) | dispatch (4) | effect (1) |
//! project (1 + n) | traceparent (1 + n)`, numbers big-endian. Opaque to workers.

use crate::workers::Route;
use aidt_domain::{DispatchNo, Effect, PartitionId, Project, RunId, StepIx, StepMessage};
use aidt_grants::{MAC_BYTES, RootKeys, SessionKey};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

const VERSION: u8 = 1;
const NONCE: &[u8] = b"aidt route v1";

/// Seals routes, so that no worker can report a result for a run that it was not given.
#[derive(Clone)]
pub(super) struct Sealer {
    /// Keyed once, cloned for each route: keying is half of a MAC's cost.
    current: Hmac<Sha256>,
    accepted: Vec<Hmac<Sha256>>,
}

impl Sealer {
    pub(super) fn new(keys: &RootKeys) -> Self {
        Self {
            current: keyed(&keys.session_key(NONCE)),
            accepted: keys.session_keys(NONCE).map(|key| keyed(&key)).collect(),
        }
    }

    pub(super) fn seal(&self, step: &StepMessage) -> Bytes {
        let trace = step.traceparent.as_deref().unwrap_or_default();
        let trace = if u8::try_from(trace.len()).is_ok() { trace } else { "" };
        let mut out = BytesMut::with_capacity(MAC_BYTES + 30 + step.project.as_str().len() + trace.len());
        out.put_bytes(0, MAC_BYTES);
        out.put_u8(VERSION);
        out.put_u16(step.partition.0);
        out.put_slice(step.run.0.as_bytes());
        out.put_u32(step.step.0);
        out.put_u32(step.dispatch.0);
        out.put_u8(effect_code(step.effect));
        for text in [step.project.as_str(), trace] {
            out.put_u8(u8::try_from(text.len()).expect("a project has at most 63 bytes, a trace fits"));
            out.put_slice(text.as_bytes());
        }
        let mac = self.current.clone().chain_update(&out[MAC_BYTES..]).finalize().into_bytes();
        out[..MAC_BYTES].copy_from_slice(&mac);
        out.freeze()
    }

    /// `None` when it was not sealed here, or not with a key that is still accepted.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Route> {
        let (tag, rest) = sealed.split_at_checked(MAC_BYTES)?;
        let genuine = |key: &Hmac<Sha256>| key.clone().chain_update(rest).verify_slice(tag).is_ok();
        self.accepted.iter().any(genuine).then(|| read(rest)).flatten()
    }
}

fn keyed(key: &SessionKey) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length")
}

fn read(mut bytes: &[u8]) -> Option<Route> {
    if bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    let partition = PartitionId(bytes.try_get_u16().ok()?);
    let run = RunId(Uuid::from_u128(bytes.try_get_u128().ok()?));
    let step = StepIx(bytes.try_get_u32().ok()?);
    let dispatch = DispatchNo(bytes.try_get_u32().ok()?);
    let effect = effect_of(bytes.try_get_u8().ok()?)?;
    let project = Project::new(text(&mut bytes)?).ok()?;
    let traceparent = Some(text(&mut bytes)?.to_owned()).filter(|trace| !trace.is_empty());
    Some(Route { project, run, partition, step, dispatch, effect, traceparent })
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::from(bytes.try_get_u8().ok()?);
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

/// As sealed; never renumber.
fn effect_code(effect: Effect) -> u8 {
    match effect {
        Effect::Read => 1,
        Effect::Idempotent => 2,
        Effect::Once => 3,
    }
}

fn effect_of(code: u8) -> Option<Effect> {
    [Effect::Read, Effect::Idempotent, Effect::Once].into_iter().find(|e| effect_code(*e) == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::step;
    use aidt_grants::KEY_BYTES;

    #[test]
    fn a_route_reads_back_and_a_forged_one_does_not() {
        let sealer = Sealer::new(&RootKeys::new([1; KEY_BYTES]));
        let step = StepMessage { traceparent: Some("00-ab-cd-01".to_owned()), ..step(3) };
        let sealed = sealer.seal(&step);
        let route = sealer.open(&sealed).unwrap();
        assert_eq!((route.run, route.step, route.dispatch), (step.run, step.step, step.dispatch));
        assert_eq!((route.partition, route.project), (step.partition, step.project));
        assert_eq!((route.effect, route.traceparent), (step.effect, step.traceparent));
        for at in 0..sealed.len() {
            let mut forged = sealed.to_vec();
            forged[at] ^= 1;
            assert_eq!(sealer.open(&forged), None, "byte {at}");
        }
        assert_eq!(sealer.open(&sealed[..20]), None);
        assert_eq!(Sealer::new(&RootKeys::new([2; KEY_BYTES])).open(&sealed), None);
    }

    #[test]
    fn a_route_is_believed_during_a_rotation() {
        let mut keys = RootKeys::new([1; KEY_BYTES]);
        let sealed = Sealer::new(&keys).seal(&step(1));
        keys.rotate([2; KEY_BYTES]);
        assert!(Sealer::new(&keys).open(&sealed).is_some());
        keys.end_rotation();
        assert!(Sealer::new(&keys).open(&sealed).is_none());
    }
}
