//! Documents that are plans, and what becomes of them.

use aidt_domain::{Effect, InputType, Pool, Snapshot, StepIx, StepKind, ToolEntry, canonical_json};
use aidt_plan::{Catalogue, Compiled, Diagnostic, Rule, Source, check_inputs, compile, limits};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::path::Path;

fn catalogue() -> Catalogue {
    Catalogue::new(aidt_tools::catalogue())
}

fn source(text: &str) -> Source {
    Source { name: "plans/my-plan.yaml".to_owned(), text: text.to_owned() }
}

fn plan(text: &str) -> Compiled {
    compile(&source(text), &catalogue()).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn needs(snapshot: &Snapshot, path: &str) -> Vec<u32> {
    let step = snapshot.steps.iter().find(|step| step.path.as_str() == path).expect(path);
    step.needs.iter().map(|StepIx(ix)| *ix).collect()
}

fn rules(errors: &[Diagnostic]) -> Vec<Rule> {
    errors.iter().map(|e| e.rule).collect()
}

const FULL: &str = r#"
name: release-notes
inputs:
  repo: { type: string, required: true, description: Where it is. }
  since: { type: string, default: "HEAD~20" }
permissions: [repo.write, repo.read]
workspace: { git: "${{ inputs.repo }}", ref: main }
labels: { team: docs }
priority: 7
steps:
  - id: log
    tool: git.log
    with: { range: "${{ inputs.since }}..HEAD", max: 5 }
  - id: write
    tool: repo.write
    if: ${{ steps.log.output.commits.size() > 0 }}
    with: { path: NOTES.md, content: "${{ steps.log.output.commits.map(c, c.subject).join('\n') }}" }
    retry: { max_attempts: 4, initial: 1s, factor: 2, max: 1m, jitter: none, not_on: [invalid_argument] }
    timeout: { queue: 1h, run: 60s, heartbeat: 10s }
  - id: after
    tool: repo.read
    with: { path: NOTES.md }
    needs: write
    if: always()
    timeout: 1m30s
    continue_on_error: true
    priority: -1
outputs: { notes: "${{ steps.after.output.content }}", fixed: [1, 2.5] }
"#;

#[test]
fn every_key_arrives_in_the_snapshot() {
    let Compiled { snapshot, warnings } = plan(FULL);
    assert_eq!(warnings, []);
    assert_eq!(snapshot.name, "release-notes");
    assert_eq!(snapshot.permissions, Some(["repo.clone", "repo.read", "repo.write"].map(str::to_owned).to_vec()));
    assert_eq!(snapshot.inputs["since"].default, Some(json!("HEAD~20")));
    assert_eq!((snapshot.inputs["repo"].kind, snapshot.inputs["repo"].required), (InputType::String, true));
    let workspace = snapshot.workspace.as_ref().unwrap();
    assert_eq!((workspace.git.as_str(), workspace.rev.as_deref()), ("${{ inputs.repo }}", Some("main")));
    assert_eq!(snapshot.outputs["fixed"], json!([1, 2.5]));
    let paths: Vec<&str> = snapshot.steps.iter().map(|step| step.path.as_str()).collect();
    assert_eq!(paths, ["@workspace", "log", "write", "after"]);
    assert_eq!(snapshot.steps[0].with, json!({ "git": "${{ inputs.repo }}", "ref": "main" }));
    let write = &snapshot.steps[2];
    assert_eq!(write.needs, [StepIx(0), StepIx(1)]);
    assert_eq!(write.when.as_deref(), Some("steps.log.output.commits.size() > 0"));
    assert_eq!(
        (write.retry.max_attempts, write.retry.initial_ms, write.retry.max_ms, write.retry.jitter),
        (4, 1_000, 60_000, false)
    );
    assert_eq!(write.retry.not_on, ["invalid_argument"]);
    assert_eq!(
        (write.timeouts.queue_ms, write.timeouts.run_ms, write.timeouts.heartbeat_ms),
        (Some(3_600_000), 60_000, Some(10_000))
    );
    assert_eq!((write.priority, write.always, write.continue_on_error), (7, false, false));
    let after = &snapshot.steps[3];
    assert_eq!(
        (after.needs.as_slice(), after.timeouts.run_ms, after.priority),
        ([StepIx(0), StepIx(2)].as_slice(), 90_000, -1)
    );
    assert!(after.always && after.continue_on_error);
}

#[test]
fn the_same_text_gives_the_same_bytes_and_json_the_same_as_yaml() {
    let once = canonical_json(&plan(FULL).snapshot);
    assert_eq!(once, canonical_json(&plan(FULL).snapshot));
    let read: Snapshot = serde_json::from_slice(&once).unwrap();
    assert_eq!(canonical_json(&read), once);
    let yaml = "steps:\n  - id: a\n    tool: debug.echo\n    with: { value: \"\\U0001F600 \\t\" }\n";
    let json =
        "{\n\t\"steps\": [{\"tool\": \"debug.echo\", \"with\": {\"value\": \"\\ud83d\\ude00 \\t\"}, \"id\": \"a\"}]\n}";
    assert_eq!(plan(yaml).snapshot, plan(json).snapshot);
}

#[test]
fn needs_come_from_every_reference() {
    let text = "
steps:
  - { id: a, tool: debug.echo, with: { value: 1 } }
  - { id: b-2, tool: debug.echo, with: { value: { deep: [\"x ${{ steps.a.output.value }}\"] } } }
  - { id: c, tool: debug.echo, with: { value: 1 }, if: \"steps['b-2'].state == 'done'\" }
  - { id: d, tool: debug.echo, with: { value: 1 }, needs: [c, a, c] }
";
    let snapshot = plan(text).snapshot;
    assert_eq!(snapshot.name, "my-plan");
    assert_eq!(needs(&snapshot, "a"), [0_u32; 0]);
    assert_eq!(needs(&snapshot, "b-2"), [0]);
    assert_eq!(needs(&snapshot, "c"), [1]);
    assert_eq!(needs(&snapshot, "d"), [0, 2]);
}

#[test]
fn status_functions_let_the_condition_decide_alone() {
    let text = "
steps:
  - { id: a, tool: debug.fail, with: { message: no } }
  - { id: b, tool: debug.echo, with: { value: 1 }, needs: a, if: failure() }
  - { id: c, tool: debug.echo, with: { value: 1 }, needs: a, if: true }
";
    let snapshot = plan(text).snapshot;
    let always: Vec<bool> = snapshot.steps.iter().map(|step| step.always).collect();
    assert_eq!(always, [false, true, false]);
    assert_eq!(snapshot.steps[2].when.as_deref(), Some("true"));
}

#[test]
fn aliases_repeat_values() {
    let text = "
steps:
  - { id: a, tool: debug.echo, with: &w { value: { x: 1 } }, retry: &r { max_attempts: 3 } }
  - { id: b, tool: debug.echo, with: *w, retry: *r }
";
    let snapshot = plan(text).snapshot;
    assert_eq!(snapshot.steps[0].with, snapshot.steps[1].with);
    assert_eq!(snapshot.steps[1].retry.max_attempts, 3);
}

#[test]
fn what_is_not_used_is_warned_of() {
    let text = "
inputs: { a: { type: string, required: true, default: x } }
permissions: [model.chat]
workspace: { git: . }
steps:
  - { id: a, tool: debug.echo, with: { value: 1 } }
";
    let errors = compile(&source(text), &catalogue()).unwrap_err();
    assert_eq!(rules(&errors), [Rule::UndeclaredCapability]);
    let text = text.replace("model.chat", &format!("model.chat, {}", errors[0].found.as_ref().unwrap()));
    let warnings = plan(&text).warnings;
    assert_eq!(rules(&warnings), [Rule::Unused; 3]);
}

#[test]
fn arguments_with_expressions_are_checked_as_far_as_they_are_known() {
    let entry = ToolEntry {
        name: "t".to_owned(),
        pool: Pool::new("p").unwrap(),
        capability: "t.use".to_owned(),
        effect: Effect::Read,
        description: String::new(),
        input_schema: json!({
            "type": "object", "additionalProperties": false, "required": ["list", "map"],
            "properties": {
                "list": { "type": "array", "items": { "type": "integer" }, "minItems": 2 },
                "map": { "oneOf": [{ "type": "string" }, { "type": "object", "required": ["k"], "properties": { "k": { "type": "string" } } }] },
            },
        }),
        output_schema: json!(true),
        reads: Default::default(),
        writes: Default::default(),
        min_sandbox: "none".to_owned(),
    };
    let catalogue = Catalogue::new(vec![entry]);
    let check = |with: Value| {
        let text = json!({ "steps": [{ "id": "a", "tool": "t", "with": with }] }).to_string();
        compile(&source(&text), &catalogue).map(drop).map_err(|e| rules(&e))
    };
    assert_eq!(check(json!({ "list": [1, "${{ 2 }}"], "map": { "k": "${{ 'x' }}" } })), Ok(()));
    assert_eq!(check(json!({ "list": "${{ [1, 2] }}", "map": "${{ 'x' }}" })), Ok(()));
    assert_eq!(check(json!({ "list": ["x", "${{ 2 }}"], "map": "x" })), Err(vec![Rule::BadArgument]));
    assert_eq!(check(json!({ "list": ["${{ 2 }}", 1], "map": 7 })), Err(vec![Rule::BadArgument]));
    assert_eq!(
        check(json!({ "list": [1, 2], "mapp": "${{ 'x' }}" })),
        Err(vec![Rule::MissingArgument, Rule::UnknownArgument])
    );
}

#[test]
fn inputs_are_completed_and_checked() {
    let snapshot = plan(FULL).snapshot;
    let given = |value: Value| if let Value::Object(map) = value { map } else { Map::new() };
    let complete = check_inputs(&snapshot, given(json!({ "repo": "." }))).unwrap();
    assert_eq!(Value::Object(complete), json!({ "repo": ".", "since": "HEAD~20" }));
    let errors = check_inputs(&snapshot, given(json!({ "rep": ".", "since": 5 }))).unwrap_err();
    assert_eq!(rules(&errors), [Rule::UnknownInput, Rule::MissingInput, Rule::WrongType]);
    assert_eq!(errors[0].nearest.as_deref(), Some("repo"));
    assert_eq!(errors[0].line, 0);
    let large = check_inputs(&snapshot, given(json!({ "repo": "x".repeat(limits::VALUE_BYTES) }))).unwrap_err();
    assert_eq!(rules(&large), [Rule::Limit]);
}

#[test]
fn a_diagnostic_has_the_published_shape() {
    let errors = compile(&source("steps:\n  - { id: a, tol: debug.echo }\n"), &catalogue()).unwrap_err();
    let value = serde_json::to_value(&errors[1]).unwrap();
    assert_eq!(
        value,
        json!({
            "file": "plans/my-plan.yaml", "line": 2, "column": 14, "end_column": 17, "rule": "unknown-key", "found": "tol",
            "nearest": "tool", "severity": "error", "message": "the step 'a' has no key 'tol'",
            "help": "the keys of the step 'a' are id, tool, with, needs, if, retry, timeout, continue_on_error, priority",
        })
    );
    assert_eq!(serde_json::from_value::<Diagnostic>(value).unwrap(), errors[1]);
}

#[test]
fn errors_are_counted_beyond_a_limit() {
    let steps: String = (0..500).map(|i| format!("  - {{ id: s{i}, tool: nope }}\n")).collect();
    let errors = compile(&source(&format!("steps:\n{steps}")), &catalogue()).unwrap_err();
    assert_eq!(errors.len(), limits::DIAGNOSTICS + 1);
    assert_eq!(errors.last().unwrap().message, "there are 400 more errors");
}

#[test]
fn a_large_plan_takes_linear_time() {
    let mut text = String::from("steps:\n");
    let mut count = 0;
    while text.len() < limits::DOCUMENT_BYTES - 100 {
        let value = if count == 0 { "1".to_owned() } else { format!("\"${{{{steps.s{}.output.value}}}}\"", count - 1) };
        text.push_str(&format!("- {{id: s{count}, tool: debug.echo, with: {{value: {value}}}}}\n"));
        count += 1;
    }
    let snapshot = plan(&text).snapshot;
    assert_eq!(snapshot.steps.len(), count);
    assert_eq!(needs(&snapshot, &format!("s{}", count - 1)), [u32::try_from(count).unwrap() - 2]);
    let errors = compile(&source(&text.replace("debug.echo", "debug.ecoh")), &catalogue()).unwrap_err();
    assert_eq!(errors.len(), limits::DIAGNOSTICS + 1);
    let too_large = compile(&source(&" ".repeat(limits::DOCUMENT_BYTES + 1)), &catalogue()).unwrap_err();
    assert_eq!(rules(&too_large), [Rule::Limit]);
}

#[test]
fn shipped_examples_are_plans() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    for name in ["hello.yaml", "release-notes.yaml"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let compiled = compile(&Source { name: name.to_owned(), text }, &catalogue());
        assert_eq!(compiled.map(|c| c.warnings), Ok(vec![]), "{name}");
    }
}

#[test]
fn the_reference_names_every_rule_and_function() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/plan.md");
    let page = std::fs::read_to_string(path).unwrap();
    for rule in Rule::ALL {
        let row = format!("| `{rule}` | {} |", rule.meaning());
        assert!(page.contains(&row), "docs/reference/plan.md lacks the row: {row}");
    }
    for function in aidt_expr::FUNCTIONS {
        assert!(page.contains(&format!("`{function}`")), "docs/reference/plan.md lacks the function `{function}`");
    }
}

#[test]
fn only_tool_steps_exist() {
    let snapshot = plan(FULL).snapshot;
    assert!(snapshot.steps.iter().all(|step| matches!(step.kind, StepKind::Tool(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        _ = compile(&source(&text), &catalogue());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(source) = Source::from_bytes("p.yaml", bytes) {
            _ = compile(&source, &catalogue());
        }
    }

    #[test]
    fn no_bent_plan_makes_it_panic(
        cuts in prop::collection::vec((0..FULL.len(), 0..12_usize, "[a-z:{}\\[\\]\"'\n\t &*!$-]{0,4}"), 1..5),
    ) {
        let mut text = FULL.to_owned();
        for (at, len, put) in cuts {
            let at = at.min(text.len());
            let end = (at + len).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, &put);
            }
        }
        if let Err(errors) = compile(&source(&text), &catalogue()) {
            prop_assert!(!errors.is_empty());
            _ = aidt_plan::render(&errors, &source(&text), true);
        }
    }

    #[test]
    fn json_reads_the_same_either_way(value in "[ -~\u{e9}\u{1F600}]{0,20}", number in any::<i32>()) {
        let document = json!({ "steps": [{ "id": "a", "tool": "debug.echo", "with": { "value": [value.replace("${{", ""), number] } }] });
        let snapshot = plan(&document.to_string()).snapshot;
        prop_assert_eq!(&snapshot.steps[0].with, &document["steps"][0]["with"]);
    }

    #[test]
    fn a_cycle_is_reported_exactly_when_there_is_one(
        edges in (2..8_usize).prop_flat_map(|n| prop::collection::vec((0..n, 0..n), 0..12).prop_map(move |e| (n, e))),
    ) {
        let (n, edges) = edges;
        let steps: Vec<Value> = (0..n)
            .map(|i| {
                let needs: Vec<String> = edges.iter().filter(|(from, _)| *from == i).map(|(_, to)| format!("s{to}")).collect();
                json!({ "id": format!("s{i}"), "tool": "debug.echo", "with": { "value": 1 }, "needs": needs })
            })
            .collect();
        let mut reach = vec![vec![false; n]; n];
        edges.iter().for_each(|(a, b)| reach[*a][*b] = true);
        for k in 0..n {
            for a in 0..n {
                for b in 0..n {
                    reach[a][b] |= reach[a][k] && reach[k][b];
                }
            }
        }
        let cyclic = (0..n).any(|i| reach[i][i]);
        let compiled = compile(&source(&json!({ "steps": steps }).to_string()), &catalogue());
        match compiled {
            Ok(_) => prop_assert!(!cyclic),
            Err(errors) => {
                prop_assert!(cyclic);
                for e in errors {
                    prop_assert_eq!(e.rule, Rule::Cycle);
                    let path: Vec<String> = e.found.unwrap().split(" -> ").map(str::to_owned).collect();
                    prop_assert_eq!(path.first(), path.last());
                    for pair in path.windows(2) {
                        let ix = |s: &String| s[1..].parse::<usize>().unwrap();
                        prop_assert!(edges.contains(&(ix(&pair[0]), ix(&pair[1]))));
                    }
                }
            }
        }
    }
}
