//! Plans, drawn: small graphs of everything that a step can be, and now and then a large one.

use crate::rng::Rng;
use crate::tool::AGENT;
use aidt_domain::{
    Effect, FORMAT, Pool, Retry, Snapshot, StepIx, StepKind, StepPath, StepSpec, Timeouts, ToolEntry, ToolReads,
};
use aidt_store::SegmentRow;
use serde_json::json;
use std::collections::BTreeMap;

/// In an output: no store will ever take it.
pub(crate) const POISON: &str = r#","x":"poison-that-no-store-takes""#;
const MARK: &[u8] = b"poison-that-no-store-takes";

/// Whether no store will ever take it.
pub(crate) fn is_poison(segment: &SegmentRow) -> bool {
    segment.payloads.windows(MARK.len()).any(|window| window == MARK)
}

/// Served by every host.
pub(crate) fn busy_pool() -> Pool {
    Pool::new("default").expect("a valid name")
}

/// Served by nobody.
fn idle_pool() -> Pool {
    Pool::new("idle").expect("a valid name")
}

/// A plan to submit.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) snapshot: Snapshot,
    /// It never ends by itself: nobody serves its pool.
    pub(crate) idle: bool,
}

impl Drawn {
    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.snapshot.steps.iter().filter_map(|s| s.kind.tool()).map(|t| t.effect).collect()
    }
}

fn entry(name: &str, effect: Effect, pool: Pool, capability: &str) -> ToolEntry {
    ToolEntry {
        name: name.to_owned(),
        pool,
        capability: capability.to_owned(),
        effect,
        description: String::new(),
        input_schema: true.into(),
        output_schema: true.into(),
        reads: ToolReads::None,
        writes: ToolReads::None,
        min_sandbox: "none".to_owned(),
    }
}

/// What workers of the simulation serve.
pub(crate) fn catalogue() -> Vec<ToolEntry> {
    let of = |name, effect, capability| entry(name, effect, busy_pool(), capability);
    vec![
        of("sim.read", Effect::Read, "debug.run"),
        of("sim.idempotent", Effect::Idempotent, "debug.run"),
        of("sim.once", Effect::Once, "debug.run"),
        of(AGENT, Effect::Idempotent, "debug.run"),
        of("sim.forbidden", Effect::Read, "secret.read"),
    ]
}

/// A plan of 1 to 12 steps.
pub(crate) fn small(rng: &mut Rng, poison: bool) -> Drawn {
    let n = rng.between(1, 12);
    let mut steps: Vec<StepSpec> = (0..n).map(|i| step(rng, u32::try_from(i).expect("small"))).collect();
    if poison {
        let victim = rng.below(n) as usize;
        steps[victim].kind = StepKind::Tool(catalogue()[1].clone());
        steps[victim].with = json!({"do": "poison"});
    }
    let mut outputs = BTreeMap::new();
    if rng.chance(300) {
        outputs.insert("last".to_owned(), json!(format!("${{{{ steps.s{}.output.value }}}}", n - 1)));
    }
    Drawn { snapshot: snapshot("small", steps, outputs), idle: false }
}

/// More steps than one turn starts or cancels.
pub(crate) fn large(rng: &mut Rng) -> Drawn {
    let idle = rng.chance(700);
    let pool = if idle { idle_pool() } else { busy_pool() };
    let n = rng.between(1_050, 1_600);
    let tool = entry("sim.read", Effect::Read, pool, "debug.run");
    let steps = (0..n).map(|i| {
        let mut step = blank(u32::try_from(i).expect("a few thousand"), tool.clone());
        if !idle && i >= 40 {
            step.needs = vec![StepIx(u32::try_from(i % 40).expect("small"))];
        }
        step
    });
    let steps = steps.collect();
    Drawn { snapshot: snapshot("large", steps, BTreeMap::new()), idle }
}

fn snapshot(name: &str, steps: Vec<StepSpec>, outputs: BTreeMap<String, serde_json::Value>) -> Snapshot {
    Snapshot {
        format: FORMAT,
        name: name.to_owned(),
        inputs: BTreeMap::new(),
        permissions: None,
        workspace: None,
        steps,
        outputs,
        labels: BTreeMap::new(),
        priority: 0,
    }
}

fn blank(i: u32, tool: ToolEntry) -> StepSpec {
    StepSpec {
        path: StepPath::new(&format!("s{i}")).expect("a valid path"),
        kind: StepKind::Tool(tool),
        needs: Vec::new(),
        when: None,
        always: false,
        with: json!({"do": "fast"}),
        retry: Retry::default(),
        timeouts: Timeouts { run_ms: 4_000, ..Timeouts::default() },
        continue_on_error: false,
        priority: 0,
    }
}

fn step(rng: &mut Rng, i: u32) -> StepSpec {
    let tools = catalogue();
    let tool = match rng.below(20) {
        0..=5 => &tools[0],
        6..=10 => &tools[1],
        11..=15 => &tools[2],
        16..=18 => &tools[3],
        _ => &tools[if rng.chance(300) { 4 } else { 0 }],
    };
    let mut step = blank(i, tool.clone());
    for need in 0..i {
        if rng.chance(if i < 4 { 400 } else { 200 }) {
            step.needs.push(StepIx(need));
        }
    }
    let mut with = json!({"do": *rng.pick(&["fast", "fast", "fast", "fast", "slow", "slow", "flaky", "flaky", "fatal", "hang", "lost"])});
    if let Some(&StepIx(need)) = step.needs.first()
        && rng.chance(500)
    {
        with["v"] = json!(format!("${{{{ steps.s{need}.output.value }}}}"));
    }
    step.with = with;
    if rng.chance(150) {
        condition(rng, &mut step);
    }
    step.continue_on_error = rng.chance(200);
    step.priority = i32::try_from(rng.below(3)).expect("small");
    if rng.chance(600) {
        step.retry = Retry {
            max_attempts: u32::try_from(rng.between(2, 4)).expect("small"),
            initial_ms: rng.between(10, 1_500),
            factor: 2.0,
            max_ms: 4_000,
            jitter: rng.chance(500),
            not_on: Vec::new(),
        };
    }
    step.timeouts = Timeouts {
        queue_ms: rng.chance(150).then(|| rng.between(300, 8_000)),
        run_ms: rng.between(300, 4_000),
        heartbeat_ms: rng.chance(150).then(|| rng.between(200, 2_000)),
    };
    step
}

fn condition(rng: &mut Rng, step: &mut StepSpec) {
    match step.needs.first() {
        Some(StepIx(need)) if rng.chance(600) => step.when = Some(format!("steps.s{need}.output.value < 7")),
        Some(_) => {
            step.when = Some("always()".to_owned());
            step.always = true;
        }
        None => step.when = Some((*rng.pick(&["true", "false"])).to_owned()),
    }
}
