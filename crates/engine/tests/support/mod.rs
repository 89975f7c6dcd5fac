//! A run driven by hand: plans, commands, and an owner that always allows.

#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "tests")]

use aidt_domain::*;
use aidt_engine::{Effects, Graph, Run};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

pub(crate) fn tool(effect: Effect) -> ToolEntry {
    ToolEntry {
        name: "debug.echo".into(),
        pool: Pool::new("default").unwrap(),
        capability: "debug.run".into(),
        effect,
        description: String::new(),
        input_schema: true.into(),
        output_schema: true.into(),
        reads: ToolReads::None,
        writes: ToolReads::None,
        min_sandbox: "none".into(),
    }
}

pub(crate) fn step(path: &str, needs: &[u32], effect: Effect) -> StepSpec {
    StepSpec {
        path: StepPath::new(path).unwrap(),
        kind: StepKind::Tool(tool(effect)),
        needs: needs.iter().copied().map(StepIx).collect(),
        when: None,
        always: false,
        with: serde_json::Value::Null,
        retry: Retry::default(),
        timeouts: Timeouts::default(),
        continue_on_error: false,
        priority: 0,
    }
}

pub(crate) fn graph(steps: Vec<StepSpec>) -> Arc<Graph> {
    let snapshot = Snapshot {
        format: 1,
        name: "test".into(),
        inputs: BTreeMap::new(),
        permissions: None,
        workspace: None,
        steps,
        outputs: BTreeMap::new(),
        labels: BTreeMap::new(),
        priority: 0,
    };
    Arc::new(Graph::new(Digest::of_json(&snapshot), snapshot))
}

/// A run with a clock and everything that was ever told of it.
pub(crate) struct Bench {
    pub(crate) run: Run,
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<Event>,
    pub(crate) burned: Vec<(StepIx, DispatchNo)>,
    pub(crate) stopped: Vec<(StepIx, DispatchNo)>,
    pub(crate) timers: BTreeMap<Option<StepIx>, Timestamp>,
    pub(crate) ready: Vec<StepIx>,
    pub(crate) visited: usize,
}

impl Bench {
    pub(crate) fn start(graph: Arc<Graph>) -> Self {
        let row = RunRow {
            project: Project::default(),
            id: RunId(Uuid::from_u128(42)),
            partition: PartitionId(0),
            snapshot: graph.digest(),
            plan: "test".into(),
            state: RunState::Created,
            last_seq: Seq(0),
            inputs: None,
            outputs: None,
            error: None,
            head: None,
            priority: 0,
            labels: BTreeMap::new(),
            submitted_by: "tester".into(),
            traceparent: None,
            budget: Budget::default(),
            created_at: Timestamp(1_000),
            updated_at: Timestamp(1_000),
            ended_at: None,
        };
        let start = Start {
            snapshot: graph.digest(),
            inputs: serde_json::Map::new(),
            input_labels: Labels::user(),
            labels: BTreeMap::new(),
            accepted_at: Timestamp(1_000),
        };
        let mut bench = Self {
            run: Run::new(graph, row),
            now: Timestamp(1_000),
            events: vec![],
            burned: vec![],
            stopped: vec![],
            timers: BTreeMap::new(),
            ready: vec![],
            visited: 0,
        };
        bench.outside(CommandBody::Start(Box::new(start)));
        bench
    }

    fn command(&self, id: Option<CommandId>, body: CommandBody) -> Command {
        let actor = Actor("tester".into());
        Command { id, project: Project::default(), run: self.run.row.id, actor, traceparent: None, body }
    }

    /// A command with an id, as from a person.
    pub(crate) fn outside(&mut self, body: CommandBody) {
        let command = self.command(Some(CommandId(Uuid::from_u128(self.events.len() as u128 + 1))), body);
        self.apply(&command);
    }

    /// A command without one, as from the loop.
    pub(crate) fn own(&mut self, body: CommandBody) {
        let command = self.command(None, body);
        self.apply(&command);
    }

    fn apply(&mut self, command: &Command) {
        let mut fx = Effects::default();
        self.run.apply(command, self.now, &mut fx);
        self.visited += fx.visited;
        self.events.extend(fx.events);
        self.burned.extend(fx.burns);
        self.stopped.extend(fx.stops);
        self.ready.extend(fx.ready);
        for (key, at) in fx.timers {
            match at {
                Some(at) => drop(self.timers.insert(key, at)),
                None => drop(self.timers.remove(&key)),
            }
        }
        for ix in fx.evaluate {
            self.own(CommandBody::Conditioned { step: ix, wanted: Ok(true) });
        }
        if fx.conclude {
            self.own(CommandBody::Concluded(Ok(Bytes::from_static(b"{}")), Labels::NONE));
        }
    }

    /// Lets everything that is ready out.
    pub(crate) fn dispatch_ready(&mut self) {
        for ix in std::mem::take(&mut self.ready) {
            self.judge(ix, Verdict::Allow);
        }
    }

    pub(crate) fn judge(&mut self, ix: StepIx, verdict: Verdict) {
        let decision = Decision {
            id: "dec".into(),
            capability: "debug.run".into(),
            verdict,
            reasons: vec!["because".into()],
            warnings: vec![],
            obligations: serde_json::Map::new(),
            revision: "r1".into(),
        };
        let judged = Judged { decision, arguments: Bytes::from_static(b"{}"), labels: Labels::NONE };
        self.own(CommandBody::Judged { step: ix, judged: Ok(Box::new(judged)) });
    }

    pub(crate) fn finish(&mut self, ix: StepIx, outcome: Outcome) {
        let dispatch = self.run.step(ix).dispatch;
        self.finish_dispatch(ix, dispatch, outcome);
    }

    pub(crate) fn finish_dispatch(&mut self, ix: StepIx, dispatch: DispatchNo, outcome: Outcome) {
        self.own(CommandBody::Finished(Box::new(Finished {
            step: ix,
            dispatch,
            outcome,
            started_at: Some(self.now),
            process: ProcessId(Uuid::nil()),
            worker: "w".into(),
            log: Bytes::new(),
        })));
    }

    pub(crate) fn claim(&mut self, ix: StepIx) {
        let (dispatch, at) = (self.run.step(ix).dispatch, self.now);
        self.own(CommandBody::Started { step: ix, dispatch, process: ProcessId(Uuid::nil()), at });
    }

    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.events.iter().map(|e| e.body.kind()).collect()
    }

    pub(crate) fn state(&self, ix: u32) -> StepState {
        self.run.state(StepIx(ix))
    }
}

pub(crate) fn done() -> Outcome {
    Outcome::Done { output: Bytes::from_static(b"1"), labels: Labels::NONE, workspace: None }
}

pub(crate) fn changed(base: &str, commit: &str) -> Outcome {
    let change = WorkspaceChange { base: base.into(), commit: commit.into(), paths: vec!["a".into()] };
    Outcome::Done { output: Bytes::from_static(b"1"), labels: Labels::NONE, workspace: Some(change) }
}

pub(crate) fn transient() -> Outcome {
    Outcome::Failed(Failure::transient(ErrorCode::ToolFailed, "no luck"))
}

pub(crate) fn fatal() -> Outcome {
    Outcome::Failed(Failure::fatal(ErrorCode::ToolFailed, "no"))
}
