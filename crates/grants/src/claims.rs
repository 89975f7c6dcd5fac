//! What a grant says, and the text of it that is signed.

use crate::Refusal;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

const VERSION: &str = "aidt-grant-v1";

/// Everything that a grant is about, as the call carries it: text is signed as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantClaims<'a> {
    /// `run_…`.
    pub run: &'a str,
    /// The step's path.
    pub step: &'a str,
    /// The step's dispatch.
    pub dispatch: u32,
    /// Which call of the step; 0 for a tool step.
    pub index: u32,
    /// The tool.
    pub tool: &'a str,
    /// Content address of its catalogue entry: `sha256:…`.
    pub entry_digest: &'a str,
    /// The bytes of the final arguments.
    pub arguments: &'a [u8],
    /// The bundle that judged.
    pub policy_revision: &'a str,
    /// What the executor must keep to: a JSON object (RFC 8785).
    pub obligations: &'a str,
    /// The weakest sandbox.
    pub min_sandbox: &'a str,
    /// Not to be started after this, in the worker's own clock.
    pub not_after_ms: i64,
}

/// The text whose MAC is the grant: 12 lines, the last one without a line break. Refused when a field
/// holds one: two different calls must never have the same text.
pub fn signing_string(claims: &GrantClaims<'_>) -> Result<String, Refusal> {
    let texts = [
        ("run", claims.run),
        ("step", claims.step),
        ("tool", claims.tool),
        ("entry_digest", claims.entry_digest),
        ("policy_revision", claims.policy_revision),
        ("obligations", claims.obligations),
        ("min_sandbox", claims.min_sandbox),
    ];
    if let Some((field, _)) = texts.iter().find(|(_, text)| text.contains('\n')) {
        return Err(Refusal::LineBreak { field });
    }
    let GrantClaims { run, step, dispatch, index, tool, entry_digest, .. } = claims;
    let GrantClaims { policy_revision, obligations, min_sandbox, not_after_ms, .. } = claims;
    let len: usize = texts.iter().map(|(_, text)| text.len()).sum();
    let mut signed = String::with_capacity(len + 160);
    write!(signed, "{VERSION}\n{run}\n{step}\n{dispatch}\n{index}\n{tool}\n{entry_digest}\n")
        .expect("writing to memory does not fail");
    push_hex(&mut signed, &Sha256::digest(claims.arguments));
    write!(signed, "\n{policy_revision}\n{obligations}\n{min_sandbox}\n{not_after_ms}")
        .expect("writing to memory does not fail");
    Ok(signed)
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}
