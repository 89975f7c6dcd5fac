//! The short cut for chains and literals means what CEL means, and nothing panics.

use crate::program::Program;
use crate::{Condition, Output, RunFacts, Scope, StepFacts, Template};
use aidt_domain::{Labels, StepState};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn scope_of(inputs: Value, output: Value) -> Scope {
    let run = RunFacts { id: "run_1".to_owned(), project: "default".to_owned(), plan: "p".to_owned() };
    let facts = StepFacts {
        state: StepState::Done,
        output: Some(Output::Value(Arc::new(output))),
        error: None,
        labels: Arc::new(Labels::one("repo")),
    };
    Scope::new(Arc::new(run), Arc::new(inputs), Arc::new(Labels::user())).with_step("a", facts)
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn link() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-d]".prop_map(|key| format!(".{key}")),
        "[a-d]".prop_map(|key| format!("['{key}']")),
        (0..4_u8).prop_map(|i| format!("[{i}]")),
    ]
}

fn chain() -> impl Strategy<Value = String> {
    let root = prop_oneof![
        Just("inputs"),
        Just("steps.a.output"),
        Just("steps['a'].output"),
        Just("steps.a.state"),
        Just("steps.b.output"),
        Just("run.id"),
    ];
    (root, prop::collection::vec(link(), 0..4)).prop_map(|(root, links)| format!("{root}{}", links.concat()))
}

/// Both ways of evaluating agree, in value or in failing. `1 == 1.0` in CEL, so the text decides.
fn assert_same(source: &str, scope: &Scope) -> Result<(), TestCaseError> {
    let (fast, slow) = (Program::compile(source, false), Program::compile_slowly(source));
    let (fast, slow) = match (fast, slow) {
        (Ok(fast), Ok(slow)) => (fast, slow),
        (fast, slow) => {
            prop_assert_eq!(fast.is_err(), slow.is_err(), "{}", source);
            return Ok(());
        }
    };
    match (fast.eval(scope, false), slow.eval(scope, false)) {
        (Ok(fast), Ok(slow)) => prop_assert_eq!(fast.to_string(), slow.to_string(), "{}", source),
        (Err(fast), Err(slow)) => prop_assert_eq!(fast.message, slow.message, "{}", source),
        (fast, slow) => prop_assert!(false, "{source}: {fast:?} and {slow:?}"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_chain_means_what_cel_means(source in chain(), inputs in any_json(), output in any_json()) {
        let inputs = if inputs.is_object() { inputs } else { json!({ "a": inputs }) };
        assert_same(&source, &scope_of(inputs, output))?;
    }

    #[test]
    fn a_literal_means_what_cel_means(
        source in prop_oneof![
            any::<i64>().prop_map(|i| i.to_string()),
            "-?[0-9]{1,20}",
            "'[^'\\\\\n\r]{0,6}'",
            "\"[^\"\\\\\n\r]{0,6}\"",
            "true|false|null|-true|''''",
        ],
    ) {
        assert_same(&source, &scope_of(json!({}), Value::Null))?;
    }

    #[test]
    fn cel_gives_back_what_it_was_given(value in any_json()) {
        let scope = scope_of(json!({}), value.clone());
        let program = Program::compile("[steps.a.output][0]", false).unwrap();
        let back = program.eval(&scope, false).unwrap();
        prop_assert_eq!(back.to_string(), value.to_string());
    }

    #[test]
    fn nothing_panics(source in "\\PC{0,60}") {
        let scope = scope_of(json!({ "a": 1 }), json!([1, "x"]));
        if let Ok(program) = Program::compile(&source, true) {
            _ = program.eval(&scope, false);
        }
        _ = Condition::compile(&source);
        if let Ok(template) = Template::compile(&json!([source])) {
            _ = template.render(&scope);
        }
    }

    #[test]
    fn nothing_panics_on_almost_cel(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "inputs", "steps", ".", "a", "output", "[", "]", "(", ")", "{", "}", "'x'", "1", "1.5", "0u", "+", "-",
                "==", "&&", "?", ":", ",", "map", "filter", "size", "has", "lists", "range", "in", "!", "x", "b'1'",
            ]),
            0..14,
        ),
        spaced in any::<bool>(),
    ) {
        let source = words.join(if spaced { " " } else { "" });
        let scope = scope_of(json!({ "a": 1 }), json!({ "a": [1, 2] }));
        if let Ok(program) = Program::compile(&source, true) {
            _ = program.eval(&scope, false);
        }
    }
}
