//! Tools that behave, and some that do not.

use aidt_domain::{Effect, Failure, Labels, Pool, ToolEntry, ToolReads, WorkspaceChange};
use aidt_tools::{Tool, ToolContext, ToolOutput, WorkspaceConfig, Workspaces};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;

/// The built-in ones and those below.
pub(crate) fn all() -> Vec<Arc<dyn Tool>> {
    let workspaces = Arc::new(Workspaces::new(WorkspaceConfig::new("no-workspaces".into())));
    let mut tools = aidt_tools::builtin(&workspaces);
    for what in ["context", "deaf", "panic", "print"] {
        tools.push(Arc::new(Odd(what)));
    }
    tools
}

/// `test.<name>`.
#[derive(Debug)]
struct Odd(&'static str);

#[async_trait]
impl Tool for Odd {
    fn entry(&self) -> ToolEntry {
        ToolEntry {
            name: format!("test.{}", self.0),
            pool: Pool::new("default").unwrap(),
            capability: "test.run".to_owned(),
            effect: Effect::Idempotent,
            description: String::new(),
            input_schema: json!(true),
            output_schema: json!(true),
            reads: ToolReads::None,
            writes: ToolReads::None,
            min_sandbox: "none".to_owned(),
        }
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        match self.0 {
            "context" => {
                let output = json!({
                    "run": ctx.run.to_string(), "step": ctx.step.to_string(), "dispatch": ctx.dispatch.0,
                    "attempt": ctx.attempt.0, "key": ctx.idempotency_key, "commit": ctx.commit,
                });
                let workspace =
                    WorkspaceChange { base: "b".to_owned(), commit: "c".to_owned(), paths: vec!["p".to_owned()] };
                Ok(ToolOutput { output, labels: Labels::one("repo"), workspace: Some(workspace) })
            }
            "deaf" => std::future::pending().await,
            "panic" => panic!("as told: {args}"),
            _ => {
                for piece in ["one", "two"] {
                    ctx.sink.output(Bytes::from_static(piece.as_bytes())).await;
                }
                ctx.sink.output(Bytes::from(vec![b'x'; 100_000])).await;
                Ok(ToolOutput::new(Value::Null))
            }
        }
    }
}
