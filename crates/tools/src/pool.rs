//! A tool in another pool than its own.

use crate::{Tool, ToolContext, ToolOutput};
use aidt_domain::{Failure, Pool, ToolEntry};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;

/// The same tool, its entry in this pool: what an operator puts the built-in tools of a stack into.
#[must_use]
pub fn in_pool(tool: Arc<dyn Tool>, pool: &Pool) -> Arc<dyn Tool> {
    if tool.entry().pool == *pool { tool } else { Arc::new(InPool { tool, pool: pool.clone() }) }
}

#[derive(Debug)]
struct InPool {
    tool: Arc<dyn Tool>,
    pool: Pool,
}

#[async_trait]
impl Tool for InPool {
    fn entry(&self) -> ToolEntry {
        ToolEntry { pool: self.pool.clone(), ..self.tool.entry() }
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
        self.tool.run(ctx, args).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckedTool, WorkspaceConfig, Workspaces};

    #[test]
    fn tools_of_a_pool_are_what_a_catalogue_of_that_pool_lists() {
        let pool = Pool::new("far").unwrap();
        let tools = crate::builtin(&Arc::new(Workspaces::new(WorkspaceConfig::new("none".into()))));
        let listed = crate::catalogue().into_iter().map(|entry| ToolEntry { pool: pool.clone(), ..entry });
        for (tool, entry) in tools.into_iter().zip(listed) {
            assert_eq!(CheckedTool::new(in_pool(tool, &pool)).unwrap().digest(), entry.digest(), "{}", entry.name);
        }
    }
}
