//! The plan's own ceiling: what it does not ask for, it does not get, whatever the policy says.

use crate::Ask;

/// Why the plan itself does not permit this, if it does not.
///
/// A synthetic step (`@workspace`) is not under the ceiling: the plan asked for it by its `workspace`.
pub(crate) fn refusal(ask: &Ask<'_>) -> Option<String> {
    let permissions = ask.permissions?;
    let listed = permissions.iter().any(|permission| permission == ask.capability);
    let synthetic = ask.step.as_str().starts_with('@');
    (!listed && !synthetic).then(|| format!("the plan's permissions do not list '{}'", ask.capability))
}
