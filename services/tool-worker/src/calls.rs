//! Calls: which are taken, and what runs.

use crate::config::{Config, ConfigError};
use crate::ledger::Ledger;
use crate::outcome;
use crate::sink::CallSink;
use crate::spans::Executing;
use crate::supervise::supervise;
use aidt_domain::{Attempt, Clock, DispatchNo, ErrorCode, Failure};
use aidt_grants::{CallRef, GrantClaims, SeenCalls, SessionKey, check_sandbox, verify};
use aidt_proto::v1::{self, Call, CallId, WorkerFrame};
use aidt_tools::{CheckedTool, Tool, ToolContext};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Frames of tools that wait for the loop; tools that print wait when there are more.
const TOOL_FRAMES: usize = 64;

/// RFC 8785 has one form of the empty object.
const NO_OBLIGATIONS: &str = "{}";

/// Everything about calls that outlives a session.
pub(crate) struct Calls {
    tools: HashMap<String, Served>,
    clock: Arc<dyn Clock>,
    /// As the last hello said.
    pub(crate) slots: usize,
    sandbox: String,
    grace: Duration,
    seen: SeenCalls,
    pub(crate) ledger: Ledger,
    running: FuturesUnordered<BoxFuture<'static, v1::Result>>,
    frames: mpsc::Receiver<WorkerFrame>,
    sender: mpsc::Sender<WorkerFrame>,
}

/// A tool, with its entry's digest as grants write it.
struct Served {
    tool: Arc<CheckedTool>,
    digest: String,
}

/// What happened among the calls.
pub(crate) enum Happened {
    /// A tool showed something.
    Frame(WorkerFrame),
    /// A call ended; its result is in the ledger. The frames before it come first.
    Ended(Vec<WorkerFrame>, v1::Result),
}

impl Calls {
    pub(crate) fn new(config: &Config, tools: Vec<Arc<dyn Tool>>, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let mut checked = HashMap::new();
        for tool in tools {
            let tool = CheckedTool::new(tool)?.with_large_outputs(config.large_outputs.clone());
            let name = tool.entry().name.clone();
            let digest = tool.digest().to_string();
            if checked.insert(name.clone(), Served { tool: Arc::new(tool), digest }).is_some() {
                return Err(ConfigError::SameName(name));
            }
        }
        let (sender, frames) = mpsc::channel(TOOL_FRAMES);
        Ok(Self {
            tools: checked,
            clock,
            slots: config.slots as usize,
            sandbox: config.sandbox.clone(),
            grace: config.cancel_grace,
            seen: SeenCalls::default(),
            ledger: Ledger::new(config.keep_results),
            running: FuturesUnordered::new(),
            frames,
            sender,
        })
    }

    /// What a hello announces, by name.
    pub(crate) fn announced(&self) -> Vec<v1::Tool> {
        let tool =
            |(name, served): (&String, &Served)| v1::Tool { name: name.clone(), entry_digest: served.digest.clone() };
        let mut tools: Vec<_> = self.tools.iter().map(tool).collect();
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        tools
    }

    /// The worker's own clock.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().0
    }

    /// Starts a call, or answers at once why not.
    pub(crate) fn start(&mut self, call: Call, key: &SessionKey) -> Option<v1::Result> {
        let failure = match self.admit(&call, key) {
            Ok((tool, ctx)) => {
                self.run(call, tool, ctx);
                return None;
            }
            Err(failure) => failure,
        };
        tracing::warn!(call = ?call.id, tool = call.tool, %failure, "a call is not run");
        // Without a time: it never began.
        let outcome = v1::result::Outcome::Failed(outcome::failed(failure));
        Some(v1::Result { id: call.id, route: call.route, started_ms: 0, outcome: Some(outcome) })
    }

    /// Nothing that the call says is believed before its grant was verified.
    fn admit(&mut self, call: &Call, key: &SessionKey) -> Result<(Arc<CheckedTool>, ToolContext), Failure> {
        let missing = |what| Failure::fatal(ErrorCode::GrantRefused, format!("the call has no {what}"));
        let id = call.id.as_ref().ok_or_else(|| missing("id"))?;
        let grant = call.grant.as_ref().ok_or_else(|| missing("grant"))?;
        let claims = claims(id, call, grant);
        let now = self.now_ms();
        let refused = |refusal| outcome::refused(&refusal);
        verify(key, &claims, &grant.mac, now).map_err(refused)?;
        check_sandbox(&grant.min_sandbox, &self.sandbox).map_err(refused)?;
        keeps(&grant.obligations)?;
        let tool = self.tool(call, grant)?;
        if self.ledger.running() >= self.slots {
            let message = format!("all {} slots of the worker are taken", self.slots);
            return Err(Failure { retryable: true, ..Failure::fatal(ErrorCode::Overloaded, message) });
        }
        let ctx = self.context(id, call)?;
        for lower in self.seen.take(&claims, now).map_err(refused)? {
            let CallRef { dispatch, index } = lower;
            self.ledger.cancel(&CallId { dispatch, index, ..id.clone() });
        }
        Ok((tool, ctx))
    }

    fn tool(&self, call: &Call, grant: &v1::Grant) -> Result<Arc<CheckedTool>, Failure> {
        let served = self.tools.get(&call.tool).filter(|served| served.digest == grant.entry_digest);
        served.map(|served| Arc::clone(&served.tool)).ok_or_else(|| {
            let message = format!("this worker does not serve {} as {}", call.tool, grant.entry_digest);
            Failure { retryable: true, ..Failure::fatal(ErrorCode::ToolChanged, message) }
        })
    }

    fn context(&self, id: &CallId, call: &Call) -> Result<ToolContext, Failure> {
        let bad = |e: aidt_domain::IdError| Failure::fatal(ErrorCode::InvalidArgument, e.to_string());
        Ok(ToolContext {
            project: call.project.parse().map_err(bad)?,
            run: id.run.parse().map_err(bad)?,
            step: id.step.parse().map_err(bad)?,
            dispatch: DispatchNo(id.dispatch),
            attempt: Attempt(call.attempt),
            idempotency_key: call.idempotency_key.clone(),
            commit: call.workspace.as_ref().map(|w| w.commit.clone()),
            cancel: CancellationToken::new(),
            sink: Arc::new(CallSink::new(id.clone(), self.sender.clone())),
            clock: Arc::clone(&self.clock),
        })
    }

    fn run(&mut self, call: Call, tool: Arc<CheckedTool>, ctx: ToolContext) {
        let id = call.id.clone().unwrap_or_default();
        self.ledger.begin(id, ctx.cancel.clone());
        let (started_ms, grace) = (self.now_ms(), self.grace);
        // The step consumer ends a call at its time-out; this is for when it cannot.
        let limit = (call.run_timeout_ms > 0).then(|| Duration::from_millis(call.run_timeout_ms).saturating_add(grace));
        let executing = Executing::begin(&call);
        self.running.push(Box::pin(async move {
            let outcome = supervise(&tool, &ctx, &call.arguments, limit, grace).await;
            executing.end(&outcome);
            v1::Result { id: call.id, route: call.route, started_ms, outcome: Some(outcome) }
        }));
    }

    /// What happens next among the calls; waits for ever when nothing runs. What tools show is left alone
    /// unless `listen`. Cancel safe.
    pub(crate) async fn next(&mut self, listen: bool) -> Happened {
        tokio::select! {
            biased;
            Some(frame) = self.frames.recv(), if listen => Happened::Frame(frame),
            Some(result) = self.running.next(), if !self.running.is_empty() => self.end(result),
            else => std::future::pending().await,
        }
    }

    fn end(&mut self, result: v1::Result) -> Happened {
        let mut before = Vec::new();
        while let Ok(frame) = self.frames.try_recv() {
            before.push(frame);
        }
        if let Some(id) = &result.id {
            let call = CallRef { dispatch: id.dispatch, index: id.index };
            self.seen.ended(&id.run, &id.step, call);
            self.ledger.end(id, result.clone(), Instant::now());
        }
        Happened::Ended(before, result)
    }
}

/// This worker knows no obligation yet, and a call whose obligations are not kept must not run.
fn keeps(obligations: &str) -> Result<(), Failure> {
    if obligations == NO_OBLIGATIONS {
        return Ok(());
    }
    let message = format!("this worker cannot keep the policy's obligations {obligations}");
    Err(Failure { reason: Some("obligation".to_owned()), ..Failure::fatal(ErrorCode::GrantRefused, message) })
}

fn claims<'a>(id: &'a CallId, call: &'a Call, grant: &'a v1::Grant) -> GrantClaims<'a> {
    GrantClaims {
        run: &id.run,
        step: &id.step,
        dispatch: id.dispatch,
        index: id.index,
        tool: &call.tool,
        entry_digest: &grant.entry_digest,
        arguments: &call.arguments,
        policy_revision: &grant.policy_revision,
        obligations: &grant.obligations,
        min_sandbox: &grant.min_sandbox,
        not_after_ms: grant.not_after_ms,
    }
}
