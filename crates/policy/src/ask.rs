//! What is judged.

use aidt_domain::{Attempt, Budget, Digest, DispatchNo, Effect, Generation, Labels, Project, RunId, StepPath};
use std::collections::BTreeMap;

/// One use of one capability.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Names the decision. Not shown to the policy.
    pub id: &'a str,
    /// Tenancy.
    pub project: &'a Project,
    /// The run.
    pub run: RunId,
    /// The plan's name.
    pub plan: &'a str,
    /// The run's labels.
    pub run_labels: &'a BTreeMap<String, String>,
    /// The step.
    pub step: &'a StepPath,
    /// The dispatch that the decision is for.
    pub dispatch: DispatchNo,
    /// The step's attempt.
    pub attempt: Attempt,
    /// The step's generation.
    pub generation: Generation,
    /// Which call of the step; 0 for a tool step.
    pub call: u32,
    /// Who submitted the run.
    pub subject: &'a str,
    /// What is to be used.
    pub capability: &'a str,
    /// The tool that uses it.
    pub tool: &'a str,
    /// Content address of the tool's catalogue entry.
    pub entry: Digest,
    /// The tool's effect.
    pub effect: Effect,
    /// The weakest sandbox that the entry demands.
    pub min_sandbox: &'a str,
    /// The sandbox that the tool's workers have, where it is known.
    pub sandbox: Option<&'a str>,
    /// The plan's `permissions`: the most that any of its steps may use. `None`: it states no ceiling.
    pub permissions: Option<&'a [String]>,
    /// Final arguments, RFC 8785.
    pub arguments: &'a [u8],
    /// Provenance of the arguments.
    pub labels: &'a Labels,
    /// What the operator calls this installation, e.g. `production`.
    pub environment: &'a str,
    /// What the run has promised and spent.
    pub budget: Budget,
    /// W3C trace context.
    pub traceparent: Option<&'a str>,
}
