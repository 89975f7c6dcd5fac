//! The machine and the interpreter give the same answer to the same question.

use crate::ask::Question;
use aidt_domain::{Effect, RunId};
use aidt_policy::{Bundle, ENTRY_POINT, Judge, Module};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use regorus::{Engine, Value};
use serde_json::json;
use std::cell::RefCell;
use uuid::Uuid;

const SHIPPED: &str = include_str!("../../../../policies/main.rego");

/// Rules of every shape that an operator may write: partial sets and objects, `else`, functions,
/// comprehensions, `every`, `some`, negation, builtins that may fail.
const SHAPES: &str = r#"
package aidt.authz

import data.lib.paths

default decision := {"verdict": "deny", "reasons": ["default"]}

decision := {"verdict": "deny", "reasons": deny} if count(deny) > 0
else := {"verdict": "escalate", "reasons": [r | some r in risky]} if count(risky) > 1
else := {"verdict": "transform", "arguments": trimmed, "warnings": warnings} if trimmed != args
else := {"verdict": "allow", "obligations": limits, "warnings": warnings} if every label in labels { label in {"repo", "user", "model"} }

args := input.context.tool.arguments

labels := {label | some label in input.context.provenance}

risky contains label if some label in labels - {"repo", "user"}

risky contains input.context.tool.effect if input.context.tool.effect == "once"

deny contains sprintf("%s may not touch %s", [input.subject.id, args.path]) if paths.hidden(args.path)

deny contains "too deep" if count(split(args.path, "/")) > 3

deny contains "not a number" if to_number(args.limit) < 0

limits[name] := value if some name, value in {"max": object.get(args, "limit", 5), "team": input.context.run.labels.team}

warnings := [w | some i, l in input.context.provenance; w := sprintf("%d:%s", [i, l])]

trimmed := {k: v | some k, v in args; not startswith(k, "x_")}
"#;

const LIB: &str = r#"
package lib.paths

hidden(path) if {
    some part in split(path, "/")
    startswith(part, ".")
}
hidden(path) if regex.match(`^/etc(/|$)`, path)
hidden(path) := true if data.hidden[_] == path
"#;

struct Pair {
    judge: Judge,
    interpreter: Engine,
}

impl Pair {
    fn new(modules: &[(&str, &str)], data: serde_json::Value) -> Self {
        let mut interpreter = Engine::new();
        interpreter.set_strict_builtin_errors(false);
        interpreter.add_data(Value::from_json_str(&data.to_string()).unwrap()).unwrap();
        for (name, source) in modules {
            interpreter.add_policy((*name).into(), (*source).into()).unwrap();
        }
        let modules = modules.iter().map(|(n, s)| Module { name: (*n).into(), source: (*s).into() }).collect();
        Self { judge: Judge::new(Bundle::from_modules(modules, Some(data)).unwrap()), interpreter }
    }

    /// Both answers to the first question (a transform asks a second one).
    fn check(&mut self, question: &Question) -> Result<(), TestCaseError> {
        let ask = question.borrow();
        let input = self.judge.input(&ask).unwrap();
        self.interpreter.set_input(Value::from_json_str(&input.to_string()).unwrap());
        let told = self.interpreter.eval_rule(ENTRY_POINT.into());
        let decision = self.judge.judge(&ask).decision;
        let found = serde_json::to_value(decision.verdict).unwrap();
        match told {
            Err(error) => {
                prop_assert_eq!(found, "deny", "the interpreter failed: {}", error);
                prop_assert!(decision.reasons[0].contains("failed"), "{:?} but {}", decision.reasons, error);
            }
            Ok(told) => {
                let told: serde_json::Value = serde_json::from_str(&told.to_json_str().unwrap()).unwrap();
                if told["verdict"] == "transform" {
                    prop_assert!(found == "transform" || found == "deny" || found == "escalate" || found == "allow");
                    return Ok(());
                }
                prop_assert_eq!(&found, &told["verdict"], "{:?}", decision);
                let list = |field: &str| told[field].as_array().cloned().unwrap_or_default();
                if found != "deny" || !list("reasons").is_empty() {
                    prop_assert_eq!(json!(decision.reasons), json!(list("reasons")));
                }
                prop_assert_eq!(json!(decision.warnings), json!(list("warnings")));
                let obligations = told.get("obligations").cloned().unwrap_or_else(|| json!({}));
                prop_assert_eq!(json!(decision.obligations), obligations);
            }
        }
        Ok(())
    }
}

const CAPABILITIES: &[&str] =
    &["debug.run", "repo.read", "repo.write", "repo.clone", "example.once", "process.exec", "mcp.x.y", ""];

fn arguments() -> impl Strategy<Value = String> {
    let path = select(&["a.md", "a/b/c/d/e", ".git/config", "src/.env", "/etc/passwd", "secret.txt", ""][..]);
    let limit = prop_oneof![
        (-3..20i64).prop_map(serde_json::Value::from),
        select(&["7", "-7", "seven"][..]).prop_map(serde_json::Value::from)
    ];
    (of(path), of(limit), of("x_[a-c]{1,2}"), ".{0,8}").prop_map(|(path, limit, extra, text)| {
        let mut map = serde_json::Map::new();
        path.map(|path| map.insert("path".into(), path.into()));
        limit.map(|limit| map.insert("limit".into(), limit));
        extra.map(|extra| map.insert(extra, 1.into()));
        map.insert("text".into(), text.into());
        serde_json::Value::Object(map).to_string()
    })
}

prop_compose! {
    fn question()(
        capability in select(CAPABILITIES),
        tool in select(&["debug.echo", "repo.write", "example.once"][..]),
        arguments in arguments(),
        run in 0..3u128,
        dispatch in 0..4u32,
        subject in select(&["local", "ci"][..]),
        effect in select(&[Effect::Read, Effect::Idempotent, Effect::Once][..]),
        permissions in of(vec(select(CAPABILITIES), 0..8)),
        labels in subsequence(vec!["model", "network:example.com", "repo", "unknown", "user"], 0..4),
        team in of("[a-b]"),
    ) -> Question {
        let mut question = Question::of(capability, tool, &arguments).labels(&labels);
        question.run = RunId(Uuid::from_u128(run));
        (question.dispatch, question.subject, question.effect) = (dispatch, subject.into(), effect);
        question.run_labels = team.map(|team| ("team".to_owned(), team)).into_iter().collect();
        // The ceiling is not the policy's: what it refuses, the policy is never asked.
        question.permissions = permissions.map(|mut listed| {
            listed.push(capability);
            listed.into_iter().map(str::to_owned).collect()
        });
        question
    }
}

thread_local! {
    static SHIPPED_PAIR: RefCell<Pair> = RefCell::new(Pair::new(&[("main.rego", SHIPPED)], json!({})));
    static SETTINGS_PAIR: RefCell<Pair> = RefCell::new(Pair::new(&[("main.rego", SHIPPED)], json!({"settings": {
        "allow": ["process.exec", ""], "deny": ["repo.read"], "escalate": ["example.once"],
        "obligations": {"process.exec": {"cpu": 1, "mem": [1, 2]}},
    }})));
    static SHAPES_PAIR: RefCell<Pair> =
        RefCell::new(Pair::new(&[("lib.rego", LIB), ("main.rego", SHAPES)], json!({"hidden": ["secret.txt"]})));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn over_the_shipped_policy(question in question()) {
        SHIPPED_PAIR.with_borrow_mut(|pair| pair.check(&question))?;
    }

    #[test]
    fn over_its_settings(question in question()) {
        SETTINGS_PAIR.with_borrow_mut(|pair| pair.check(&question))?;
    }

    #[test]
    fn over_rules_of_every_shape(question in question()) {
        SHAPES_PAIR.with_borrow_mut(|pair| pair.check(&question))?;
    }
}
