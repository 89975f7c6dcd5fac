//! Which tokens let a worker in, and to which pools.

use aidt_domain::{Digest, Pool};
use std::collections::BTreeSet;
use subtle::ConstantTimeEq as _;

/// Which tokens let a worker in, and to which pools.
///
/// Tokens are kept as digests, and every one is compared in constant time, so neither memory nor timing
/// tells what a valid one looks like.
#[derive(Clone, Default)]
pub struct Admission {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    token: Digest,
    /// `None`: any.
    pools: Option<BTreeSet<Pool>>,
}

/// Why a worker is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    UnknownToken,
    Pool,
}

impl Admission {
    /// Lets nobody in.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Lets whoever has this token into any pool.
    #[must_use]
    pub fn with(mut self, token: &str) -> Self {
        self.entries.push(Entry { token: Digest::of(token.as_bytes()), pools: None });
        self
    }

    /// Lets whoever has this token into these pools.
    #[must_use]
    pub fn with_pools(mut self, token: &str, pools: impl IntoIterator<Item = Pool>) -> Self {
        let pools = Some(pools.into_iter().collect());
        self.entries.push(Entry { token: Digest::of(token.as_bytes()), pools });
        self
    }

    pub(super) fn check(&self, token: &str, pool: &Pool) -> Result<(), Refused> {
        let token = Digest::of(token.as_bytes());
        let (mut known, mut admitted) = (false, false);
        for entry in &self.entries {
            if bool::from(entry.token.0.ct_eq(&token.0)) {
                known = true;
                admitted |= entry.pools.as_ref().is_none_or(|pools| pools.contains(pool));
            }
        }
        match (known, admitted) {
            (_, true) => Ok(()),
            (true, false) => Err(Refused::Pool),
            (false, false) => Err(Refused::UnknownToken),
        }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("tokens", &self.entries.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_admits_to_its_pools_only() {
        let (a, b) = (Pool::new("a").unwrap(), Pool::new("b").unwrap());
        let admission = Admission::nobody().with("any").with_pools("only-a", [a.clone()]);
        assert_eq!(admission.check("any", &b), Ok(()));
        assert_eq!(admission.check("only-a", &a), Ok(()));
        assert_eq!(admission.check("only-a", &b), Err(Refused::Pool));
        assert_eq!(admission.check("", &a), Err(Refused::UnknownToken));
        assert_eq!(admission.check("ANY", &a), Err(Refused::UnknownToken));
        assert_eq!(Admission::nobody().check("", &a), Err(Refused::UnknownToken));
        assert_eq!(format!("{admission:?}"), "Admission { tokens: 2 }");
    }
}
