//! `aidt tools call`: a run of one step, so that the gate holds and history keeps it.

use super::conclude::{Show, conclude};
use super::{Context, Done, run::submit};
use crate::args::{Output, ToolsCallArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::host::Embed;
use crate::inputs::typed;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::watch::{OnInterrupt, Watch};
use aidt_client::{Submission, Tool};
use aidt_domain::{ErrorCode, InputType};
use serde_json::{Map, Value, json};

pub(crate) async fn call(args: ToolsCallArgs, context: &mut Context<'_>) -> Done {
    let embed = Embed { tools: args.tools.clone(), workers: args.workers.clone(), ..Embed::default() };
    let session = context.session_with(embed);
    let output = args.output;
    let submitted = match arguments(&args, &session, context).await {
        Ok(Some(arguments)) => submit(&submission(&args, arguments), &session, context).await,
        Ok(None) => return Ok(Exit::CANCELLED),
        Err(error) => Err(error),
    };
    let (accepted, interrupted) = match submitted {
        Ok(Some(submitted)) => submitted,
        Ok(None) => return Ok(Exit::KILLED),
        Err(error) => {
            if output == Output::Json && !error.broken_pipe {
                Outcome::of_error(&error).print(context.terminal)?;
            }
            return Err(error);
        }
    };
    let watch = Watch { run: accepted.id, on_interrupt: OnInterrupt::Cancel, interrupted, timeout: None };
    let show = if output == Output::Json { Show::Json } else { Show::StepOutput };
    conclude(watch, show, &session, context).await
}

/// `--args`, then `--set` by the tool's schema. `None`: it was interrupted.
async fn arguments(
    args: &ToolsCallArgs,
    session: &Session<'_>,
    context: &mut Context<'_>,
) -> Result<Option<Map<String, Value>>, CliError> {
    let mut arguments: Map<String, Value> = match &args.args {
        Some(text) => serde_json::from_str(text).map_err(|e| {
            CliError::new(ErrorCode::InvalidArgument, "--args is not a JSON object")
                .caused(&e)
                .help("such as --args '{\"value\": 1}'")
        })?,
        None => Map::new(),
    };
    let tools = tokio::select! {
        biased;
        () = context.interrupts.next() => return Ok(None),
        tools = session.call(async |client| client.tools().await) => tools?,
    };
    let Some(tool) = tools.iter().find(|tool| tool.name() == args.name) else {
        let message = format!("there is no tool {}", args.name);
        return Err(CliError::new(ErrorCode::NotFound, message).help("`aidt tools ls` lists the tools"));
    };
    for pair in &args.set {
        let kind = argument_type(tool, &pair.key);
        let value = typed(kind, &pair.value).ok_or_else(|| {
            let message = format!("--set {}: '{}' is not of the type that the tool takes", pair.key, pair.value);
            CliError::new(ErrorCode::InvalidArgument, message)
                .help(format!("its schema is {}", tool.entry.get("input_schema").unwrap_or(&Value::Null)))
        })?;
        arguments.insert(pair.key.clone(), value);
    }
    Ok(Some(arguments))
}

fn argument_type(tool: &Tool, name: &str) -> InputType {
    let schema = tool.entry.get("input_schema").and_then(|schema| schema.get("properties")?.get(name)?.get("type"));
    schema.and_then(|kind| serde_json::from_value(kind.clone()).ok()).unwrap_or(InputType::Any)
}

/// A plan of one step. The arguments go in as inputs: what they hold is never read as an expression.
fn submission(args: &ToolsCallArgs, arguments: Map<String, Value>) -> Submission {
    let (mut specs, mut with, mut inputs) = (Map::new(), Map::new(), Map::new());
    for (at, (name, value)) in arguments.into_iter().enumerate() {
        let input = format!("a{at}");
        specs.insert(input.clone(), json!({ "type": "any", "required": true }));
        with.insert(name, format!("${{{{ inputs.{input} }}}}").into());
        inputs.insert(input, value);
    }
    let mut plan = json!({
        "name": "tools-call",
        "inputs": specs,
        "steps": [{ "id": "call", "tool": args.name, "with": with }],
    });
    if let Some(git) = &args.git {
        inputs.insert("git".to_owned(), git.as_str().into());
        plan["inputs"]["git"] = json!({ "type": "string", "required": true });
        plan["workspace"] = json!({ "git": "${{ inputs.git }}" });
    }
    Submission { plan: Some(plan), inputs, ..Submission::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_never_read_as_expressions() {
        let args = ToolsCallArgs { name: "debug.echo".into(), ..ToolsCallArgs::default() };
        let arguments = json!({ "value": "${{ 1 + 1 }}" }).as_object().cloned().unwrap();
        let made = submission(&args, arguments);
        assert_eq!(made.inputs["a0"], "${{ 1 + 1 }}");
        assert_eq!(made.plan.unwrap()["steps"][0]["with"]["value"], "${{ inputs.a0 }}");
    }
}
