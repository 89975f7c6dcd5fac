//! Making and checking the MAC.

use crate::{GrantClaims, Refusal, SessionKey, signing_string};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Length of a MAC, in bytes.
pub const MAC_BYTES: usize = 32;

/// How long a grant is good for, to start the call: `not_after_ms` is the worker's clock plus this.
pub const START_WITHIN_MS: i64 = 30_000;

fn hmac(key: &SessionKey, claims: &GrantClaims<'_>) -> Result<Hmac<Sha256>, Refusal> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    hmac.update(signing_string(claims)?.as_bytes());
    Ok(hmac)
}

/// Grants a call: the MAC to send with it. Refused when a field holds a line break.
pub fn mint(key: &SessionKey, claims: &GrantClaims<'_>) -> Result<[u8; MAC_BYTES], Refusal> {
    Ok(hmac(key, claims)?.finalize().into_bytes().into())
}

/// Checks a grant against the call as it arrived, in constant time, and that it may still be started.
/// `now_ms` is the worker's own clock. The call must also be new: see [`crate::SeenCalls`].
pub fn verify(key: &SessionKey, claims: &GrantClaims<'_>, mac: &[u8], now_ms: i64) -> Result<(), Refusal> {
    hmac(key, claims)?.verify_slice(mac).map_err(|_| Refusal::BadMac)?;
    match now_ms.saturating_sub(claims.not_after_ms) {
        late_ms if late_ms > 0 => Err(Refusal::Expired { late_ms }),
        _ => Ok(()),
    }
}
