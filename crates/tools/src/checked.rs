//! A tool with its schemas compiled: what comes in and what goes out is checked here, once for all tools.

use crate::{CallOutput, LargeOutputs, Tool, ToolContext, failure};
use aidt_domain::{Digest, ErrorCode, Failure, MAX_INLINE_BYTES, ToolEntry};
use bytes::Bytes;
use jsonschema::Validator;
use serde_json::Value;
use std::sync::Arc;

/// A catalogue entry whose schema is not a JSON Schema.
#[derive(Debug, thiserror::Error)]
#[error("the {which} schema of tool {tool} is not a valid JSON Schema")]
pub struct SchemaError {
    tool: String,
    which: &'static str,
    source: Box<jsonschema::ValidationError<'static>>,
}

/// A tool that only ever sees arguments, and only ever gives outputs, that fit its entry.
#[derive(Debug)]
pub struct CheckedTool {
    tool: Arc<dyn Tool>,
    entry: ToolEntry,
    digest: Digest,
    input: Validator,
    output: Validator,
    large: Option<LargeOutputs>,
}

impl CheckedTool {
    /// Compiles the schemas of the tool's entry.
    pub fn new(tool: Arc<dyn Tool>) -> Result<Self, SchemaError> {
        let entry = tool.entry();
        let compile = |which, schema: &Value| {
            Validator::new(schema).map_err(|source| SchemaError {
                tool: entry.name.clone(),
                which,
                source: Box::new(source),
            })
        };
        let (input, output) = (compile("input", &entry.input_schema)?, compile("output", &entry.output_schema)?);
        Ok(Self { digest: entry.digest(), input, output, entry, tool, large: None })
    }

    /// Keeps outputs over 256 KiB here. Without it they are refused.
    #[must_use]
    pub fn with_large_outputs(self, large: Option<LargeOutputs>) -> Self {
        Self { large, ..self }
    }

    /// The tool's catalogue entry.
    #[must_use]
    pub fn entry(&self) -> &ToolEntry {
        &self.entry
    }

    /// The entry's content address: what the worker announces.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Checks the arguments, runs the tool, checks and serialises its output.
    ///
    /// Cancel safe as far as the tool is: see [`Tool::run`].
    pub async fn call(&self, ctx: &ToolContext, arguments: &[u8]) -> Result<CallOutput, Failure> {
        let args = self.arguments(arguments)?;
        let answer = self.tool.run(ctx, args).await?;
        self.fits(&self.output, &answer.output)
            .map_err(|message| Failure::transient(ErrorCode::OutputInvalid, format!("the output of {message}")))
            .map_err(|failure| Failure { retryable: false, ..failure })?;
        let output = serde_json::to_vec(&answer.output)
            .map_err(|e| failure::internal(format!("the output of {} is not JSON: {e}", self.entry.name)))?;
        let mut labels = answer.labels;
        let output = match &self.large {
            Some(large) if output.len() > MAX_INLINE_BYTES => large.keep(ctx, output.into(), &mut labels).await?,
            _ => self.small_enough(output)?,
        };
        Ok(CallOutput { output, labels, workspace: answer.workspace })
    }

    fn arguments(&self, arguments: &[u8]) -> Result<Value, Failure> {
        let args = serde_json::from_slice(arguments)
            .map_err(|e| failure::invalid(format!("the arguments of {} are not JSON: {e}", self.entry.name)))?;
        self.fits(&self.input, &args).map_err(|message| failure::invalid(format!("the arguments of {message}")))?;
        Ok(args)
    }

    fn fits(&self, schema: &Validator, value: &Value) -> Result<(), String> {
        schema.validate(value).map_err(|error| {
            let at = error.instance_path().to_string();
            let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
            let found: String = error.to_string().chars().take(400).collect();
            format!("{} do not fit its schema{at}: {found}", self.entry.name)
        })
    }

    /// A tool that truncates keeps below the limit by itself; this stops the others.
    fn small_enough(&self, output: Vec<u8>) -> Result<Bytes, Failure> {
        if output.len() <= MAX_INLINE_BYTES {
            return Ok(output.into());
        }
        let takes_limit = self.entry.input_schema.pointer("/properties/max_bytes").is_some();
        let advice = if takes_limit { "ask for less with max_bytes" } else { "ask for less at once" };
        Err(failure::too_large(format!(
            "the output of {} is {} bytes of JSON, the limit is {MAX_INLINE_BYTES}: {advice}",
            self.entry.name,
            output.len(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToolOutput;
    use crate::builtin::testing;
    use aidt_domain::{Effect, Pool, ToolReads};
    use async_trait::async_trait;
    use serde_json::json;

    /// Answers what it was given under `answer`.
    #[derive(Debug)]
    struct Answer;

    #[async_trait]
    impl Tool for Answer {
        fn entry(&self) -> ToolEntry {
            ToolEntry {
                name: "test.answer".to_owned(),
                pool: Pool::new("default").unwrap(),
                capability: "test.run".to_owned(),
                effect: Effect::Read,
                description: String::new(),
                input_schema: json!({"type": "object", "required": ["answer"]}),
                output_schema: json!({"type": "string"}),
                reads: ToolReads::None,
                writes: ToolReads::None,
                min_sandbox: "none".to_owned(),
            }
        }

        async fn run(&self, _: &ToolContext, args: Value) -> Result<ToolOutput, Failure> {
            Ok(ToolOutput::new(args["answer"].clone()))
        }
    }

    async fn call(arguments: &str) -> Result<CallOutput, Failure> {
        let tool = CheckedTool::new(Arc::new(Answer)).unwrap();
        tool.call(&testing::context(), arguments.as_bytes()).await
    }

    #[tokio::test]
    async fn what_fits_passes() {
        assert_eq!(call(r#"{"answer":"yes"}"#).await.unwrap().output, r#""yes""#);
    }

    #[tokio::test]
    async fn arguments_that_do_not_fit_never_reach_the_tool() {
        let failure = call("{}").await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::InvalidArgument);
        assert!(failure.message.contains("test.answer") && failure.message.contains("answer"), "{failure}");
        assert_eq!(call("{").await.unwrap_err().code, ErrorCode::InvalidArgument);
    }

    #[tokio::test]
    async fn an_output_that_does_not_fit_is_a_failure_of_unknown_effect() {
        let failure = call(r#"{"answer":5}"#).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::OutputInvalid);
        assert_eq!(failure.effect, aidt_domain::EffectHint::Maybe);
    }

    #[tokio::test]
    async fn an_output_above_the_limit_is_refused() {
        let big = "x".repeat(MAX_INLINE_BYTES);
        let failure = call(&json!({"answer": big}).to_string()).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::TooLarge);
    }

    #[tokio::test]
    async fn an_output_above_the_limit_is_kept_as_an_artifact_where_there_is_a_store() {
        let artifacts = Arc::new(aidt_artifacts::ObjectArtifacts::memory(1 << 20));
        let large = LargeOutputs::new(artifacts.clone());
        let tool = CheckedTool::new(Arc::new(Answer)).unwrap().with_large_outputs(Some(large));
        let ctx = testing::context();
        let big = json!("x".repeat(MAX_INLINE_BYTES));
        let answer = tool.call(&ctx, json!({"answer": big}).to_string().as_bytes()).await.unwrap();
        let claim: Value = serde_json::from_slice(&answer.output).unwrap();
        let claim = aidt_domain::Claim::of(&claim, &answer.labels).expect("a claim, labelled as one");
        let kept = aidt_artifacts::Artifacts::get(&*artifacts, &ctx.project, &claim.artifact).await.unwrap();
        assert_eq!((serde_json::from_slice::<Value>(&kept).unwrap(), claim.bytes), (big, kept.len() as u64));
        let huge = json!({"answer": "x".repeat(2 << 20)}).to_string();
        assert_eq!(tool.call(&ctx, huge.as_bytes()).await.unwrap_err().code, ErrorCode::TooLarge);
    }

    #[test]
    fn a_bad_schema_names_the_tool() {
        #[derive(Debug)]
        struct Bad;
        #[async_trait]
        impl Tool for Bad {
            fn entry(&self) -> ToolEntry {
                ToolEntry { input_schema: json!({"type": "nothing"}), ..Answer.entry() }
            }
            async fn run(&self, _: &ToolContext, _: Value) -> Result<ToolOutput, Failure> {
                Ok(ToolOutput::default())
            }
        }
        let error = CheckedTool::new(Arc::new(Bad)).unwrap_err();
        assert!(error.to_string().contains("input schema of tool test.answer"));
    }
}
