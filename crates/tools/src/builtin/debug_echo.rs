//! `debug.echo`: gives back what it was given.

use super::{entry as new_entry, object};
use crate::{Tool, ToolContext, ToolOutput};
use aidt_domain::{Effect, Failure, ToolEntry};
use async_trait::async_trait;
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Echo;

pub(super) fn entry() -> ToolEntry {
    let value = || object(json!({"value": {"description": "Anything."}}), &["value"]);
    ToolEntry {
        input_schema: value(),
        output_schema: value(),
        ..new_entry("debug.echo", "debug.run", Effect::Read, "Gives back `value`.")
    }
}

#[async_trait]
impl Tool for Echo {
    fn entry(&self) -> ToolEntry {
        entry()
    }

    async fn run(&self, _: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        Ok(ToolOutput::new(args))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::testing::call;

    #[tokio::test]
    async fn any_value_comes_back() {
        for value in [json!(null), json!({"a": [1, "\0", 1e300]}), json!("é")] {
            let args = json!({"value": value});
            assert_eq!(call(Echo, args.clone()).await.unwrap(), args);
        }
        assert!(call(Echo, json!({})).await.is_err());
        assert!(call(Echo, json!({"value": 1, "more": 2})).await.is_err());
    }
}
