//! The shipped policy: its own tests, by the interpreter (they need `with`); that every input is of the
//! published schema; and what it says to some questions.

use crate::ask::Question;
use aidt_domain::Verdict;
use aidt_policy::{Bundle, Judge, Module};
use regorus::{Engine, Value};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

fn policies(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../policies").join(name)).unwrap()
}

#[test]
fn its_own_tests_pass() {
    let tests = policies("main_test.rego");
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(false);
    engine.add_policy("main.rego".into(), policies("main.rego")).unwrap();
    engine.add_policy("main_test.rego".into(), tests.clone()).unwrap();
    let names: Vec<&str> = tests
        .lines()
        .filter(|line| line.starts_with("test_"))
        .map(|line| line.split([' ', '(']).next().unwrap())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let passed = engine.eval_rule(format!("data.aidt.authz_test.{name}")).unwrap();
        assert_eq!(passed, Value::Bool(true), "{name}");
    }
}

/// Blocks of Rego in the reference page that are modules.
fn documented(package: &str) -> Vec<String> {
    let page = include_str!("../../../../docs/reference/policy.md");
    let blocks = page.split("```rego\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.filter(|block| block.starts_with(&format!("package {package}\n"))).map(str::to_owned).collect()
}

#[test]
fn what_the_reference_page_shows_works() {
    let modules = documented("aidt.authz");
    let tests = documented("aidt.authz_test");
    assert_eq!((modules.len(), tests.len()), (1, 1));
    let all = [("extra.rego", modules[0].clone()), ("main.rego", policies("main.rego"))];
    let bundle = all.clone().map(|(name, source)| Module { name: name.into(), source }).to_vec();
    let bundle = Bundle::from_modules(bundle, None).unwrap();
    let notes = |labels: &[&str]| Question::write().labels(labels).verdict(&bundle);
    assert_eq!((notes(&["user"]), notes(&["network:x.org"])), (Verdict::Allow, Verdict::Escalate));

    let mut engine = Engine::new();
    for (name, source) in all {
        engine.add_policy(name.into(), source).unwrap();
    }
    engine.add_policy("extra_test.rego".into(), tests[0].clone()).unwrap();
    let passed = engine.eval_rule("data.aidt.authz_test.test_pipeline_files_are_safe".into()).unwrap();
    assert_eq!(passed, Value::Bool(true));
}

#[test]
fn every_input_is_of_the_published_schema() {
    let schema: serde_json::Value = serde_json::from_str(&policies("input.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut full = Question::write().permissions(&["repo.write"]).step("build[3]");
    full.sandbox = Some("bubblewrap".into());
    full.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    let mut judge = Judge::new(Bundle::shipped());
    for question in [full, Question::of("debug.run", "debug.echo", "null").labels(&[])] {
        let input = judge.input(&question.borrow()).unwrap();
        let wrong: Vec<_> = validator.iter_errors(&input).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        for part in ["subject", "action", "resource", "context"] {
            let mut cut = input.clone();
            cut.as_object_mut().unwrap().remove(part);
            assert!(!validator.is_valid(&cut), "{part} is not demanded");
        }
        let mut more = input.clone();
        more["context"]["surprise"] = json!(1);
        assert!(!validator.is_valid(&more), "the schema does not know all of the input");
    }
}

#[test]
fn it_says_what_is_expected_of_it() {
    let shipped = Bundle::shipped();
    for (capability, tool) in [
        ("debug.run", "debug.echo"),
        ("repo.read", "git.log"),
        ("repo.write", "repo.write"),
        ("repo.clone", "workspace.prepare"),
    ] {
        assert_eq!(Question::of(capability, tool, "{}").verdict(&shipped), Verdict::Allow, "{capability}");
    }
    let own = Question::of("example.once", "example.once", "{}");
    assert_eq!(own.verdict(&shipped), Verdict::Deny);
    assert_eq!(own.clone().permissions(&["example.once"]).verdict(&shipped), Verdict::Allow);
    for capability in ["process.exec", "network.egress", "secret.read", "mcp.github.create_issue"] {
        let question = Question::of(capability, "t", "{}").permissions(&[capability]);
        assert_eq!(question.verdict(&shipped), Verdict::Deny, "{capability}");
    }
}

#[test]
fn its_settings_need_no_rego() {
    let main = Module { name: "main.rego".into(), source: policies("main.rego") };
    let with = |settings| Bundle::from_modules(vec![main.clone()], Some(json!({"settings": settings}))).unwrap();
    let exec = Question::of("process.exec", "process.exec", "{}");
    assert_eq!(exec.verdict(&with(json!({"allow": ["process.exec"]}))), Verdict::Allow);
    assert_eq!(Question::write().verdict(&with(json!({"deny": ["repo.write"]}))), Verdict::Deny);
    assert_eq!(Question::write().verdict(&with(json!({"escalate": ["repo.write"]}))), Verdict::Escalate);
    let obliged =
        Question::write().judged_by(&with(json!({"obligations": {"repo.write": {"max_bytes": 10}}}))).decision;
    assert_eq!(
        (obliged.verdict, serde_json::Value::Object(obliged.obligations)),
        (Verdict::Allow, json!({"max_bytes": 10}))
    );
    let fixed = Question::of("debug.run", "debug.sleep", r#"{"ms":99999}"#)
        .judged_by(&with(json!({"arguments": {"debug.sleep": {"ms": 5}}})));
    assert_eq!((fixed.decision.verdict, fixed.arguments.unwrap()), (Verdict::Transform, br#"{"ms":5}"#.to_vec()));
    for wrong in [json!({"deny": "repo.write"}), json!({"dney": ["repo.write"]}), json!({"obligations": []})] {
        assert_eq!(Question::write().verdict(&with(wrong.clone())), Verdict::Deny, "{wrong}");
    }
}
