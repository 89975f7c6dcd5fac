//! Keys: the roots that step consumers hold, and the key of one worker's session.

use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;

/// Length of every key, in bytes.
pub const KEY_BYTES: usize = 32;

const INFO: &[u8] = b"aidt worker session v1";

/// The key of one session of one worker. The worker gets it in `welcome` and nobody else has it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey([u8; KEY_BYTES]);

impl SessionKey {
    /// The key that a `welcome` carried.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for `welcome`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// HKDF-SHA256 (RFC 5869) of a root key, with the session's nonce as salt.
    fn derive(root: &[u8; KEY_BYTES], nonce: &[u8]) -> Self {
        let mut key = [0; KEY_BYTES];
        Hkdf::<Sha256>::new(Some(nonce), root).expand(INFO, &mut key).expect("32 bytes are not too many for HKDF");
        Self(key)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// The root keys of a step consumer: the current one, and during a rotation the one before.
///
/// New sessions are keyed from the current root. A session that began under the previous one stays valid
/// until [`RootKeys::end_rotation`].
#[derive(Clone)]
pub struct RootKeys {
    current: [u8; KEY_BYTES],
    previous: Option<[u8; KEY_BYTES]>,
}

impl RootKeys {
    /// A first root key: random bytes, of this process when embedded.
    #[must_use]
    pub fn new(current: [u8; KEY_BYTES]) -> Self {
        Self { current, previous: None }
    }

    /// Begins a rotation: `next` becomes the current key, the current one the previous.
    pub fn rotate(&mut self, next: [u8; KEY_BYTES]) {
        self.previous = Some(std::mem::replace(&mut self.current, next));
    }

    /// Forgets the previous key: the sessions that began under it are over.
    pub fn end_rotation(&mut self) {
        self.previous = None;
    }

    /// The key of a new session. `nonce` is random and never used for another.
    #[must_use]
    pub fn session_key(&self, nonce: &[u8]) -> SessionKey {
        SessionKey::derive(&self.current, nonce)
    }

    /// The keys that a session with this nonce may have: of the current root, then of the previous one.
    pub fn session_keys(&self, nonce: &[u8]) -> impl Iterator<Item = SessionKey> {
        [Some(self.current), self.previous].into_iter().flatten().map(move |root| SessionKey::derive(&root, nonce))
    }
}

impl fmt::Debug for RootKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKeys").field("rotating", &self.previous.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_outlives_a_rotation_until_it_ends() {
        let mut roots = RootKeys::new([1; KEY_BYTES]);
        let old = roots.session_key(b"nonce");
        roots.rotate([2; KEY_BYTES]);
        assert_ne!(roots.session_key(b"nonce"), old);
        assert!(roots.session_keys(b"nonce").any(|key| key == old));
        roots.end_rotation();
        assert!(!roots.session_keys(b"nonce").any(|key| key == old));
    }

    #[test]
    fn sessions_have_keys_of_their_own_and_no_key_is_shown() {
        let roots = RootKeys::new([7; KEY_BYTES]);
        assert_ne!(roots.session_key(b"a"), roots.session_key(b"b"));
        let shown = format!("{roots:?} {:?}", roots.session_key(b"a"));
        assert_eq!(shown, "RootKeys { rotating: false, .. } SessionKey(…)");
    }
}
