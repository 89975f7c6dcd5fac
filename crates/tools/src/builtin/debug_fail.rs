//! `debug.fail`: always fails, in the way that it is told to.

use super::{entry as new_entry, object, read};
use crate::{Tool, ToolContext, ToolOutput};
use aidt_domain::{Effect, EffectHint, ErrorCode, Failure, ToolEntry};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Fail;

#[derive(Deserialize)]
struct Args {
    message: String,
    #[serde(default = "yes")]
    retryable: bool,
    #[serde(default)]
    effect: EffectHint,
    reason: Option<String>,
}

fn yes() -> bool {
    true
}

pub(super) fn entry() -> ToolEntry {
    ToolEntry {
        input_schema: object(
            json!({
                "message": {"type": "string", "description": "What the failure says."},
                "retryable": {"type": "boolean", "default": true,
                    "description": "Whether another attempt could fare better."},
                "effect": {"enum": ["none", "maybe"], "default": "maybe",
                    "description": "What is known of the effect that did not quite happen."},
                "reason": {"type": "string", "description": "The tool's own word, for `retry.not_on`."},
            }),
            &["message"],
        ),
        output_schema: json!(false),
        ..new_entry("debug.fail", "debug.run", Effect::Read, "Always fails with `message`.")
    }
}

#[async_trait]
impl Tool for Fail {
    fn entry(&self) -> ToolEntry {
        entry()
    }

    async fn run(&self, _: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        let Args { message, retryable, effect, reason } = read(args)?;
        Err(Failure { retryable, effect, reason, ..Failure::fatal(ErrorCode::ToolFailed, message) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::testing::call;

    #[tokio::test]
    async fn fails_as_told() {
        let failure = call(Fail, json!({"message": "no"})).await.unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (ErrorCode::ToolFailed, "no"));
        assert_eq!((failure.retryable, failure.effect), (true, EffectHint::Maybe));
        let args = json!({"message": "no", "retryable": false, "effect": "none", "reason": "busy"});
        let failure = call(Fail, args).await.unwrap_err();
        assert_eq!((failure.retryable, failure.effect), (false, EffectHint::None));
        assert_eq!(failure.reason.as_deref(), Some("busy"));
    }
}
