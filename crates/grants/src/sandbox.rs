//! Tiers of sandboxes.

use crate::Refusal;

/// From the weakest.
const TIERS: [&str; 3] = ["none", "landlock", "bubblewrap"];

/// Refuses when the worker's sandbox is weaker than what the grant demands. A tier that nobody knows is
/// stronger than all when demanded, and weaker than all when offered.
pub fn check_sandbox(demanded: &str, offered: &str) -> Result<(), Refusal> {
    let rank = |tier: &str| TIERS.iter().position(|known| *known == tier);
    match (rank(demanded), rank(offered)) {
        (Some(demanded), Some(offered)) if demanded <= offered => Ok(()),
        _ => Err(Refusal::Sandbox { demanded: demanded.to_owned(), offered: offered.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weaker_or_unknown_sandbox_is_refused() {
        assert_eq!(check_sandbox("none", "none"), Ok(()));
        assert_eq!(check_sandbox("landlock", "bubblewrap"), Ok(()));
        assert!(check_sandbox("bubblewrap", "landlock").is_err());
        assert!(check_sandbox("microvm", "bubblewrap").is_err());
        assert!(check_sandbox("none", "chroot").is_err());
        assert!(check_sandbox("", "none").is_err());
    }
}
