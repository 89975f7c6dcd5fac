//! The short cut for chains and literals means what CEL means, and nothing panics.

use crate::convert::{from_cel, to_cel};
use crate::functions::environment;
use crate::program::Program;
use crate::{Condition, ExprErrorKind, Output, RunFacts, Scope, StepFacts, Template};
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

/// Uses of two chains whose results do not depend on the order of a map.
fn any_shape() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "has(A.b)",
        "has(A.b) ? A.b : B",
        "[A, {'k': B}]",
        "A == B",
        "A in B",
        "size(A)",
        "A[B]",
        "A < B || B >= A",
        "A.exists(x, x == B)",
        "A.all(x, type(x) == string) && true",
        "[A, B].map(x, [x].filter(y, y == B))",
        "[A, B].exists_one(x, x == B)",
        "[B, A].map(x, type(x) == type(A), x)",
        "type(A) == string ? A + string(size(A)) : 'no'",
        "type(A) == int ? [A, 1].sort() : [1]",
        "A == B ? 1 : A.x",
    ])
}

/// What the interpreter says of the source as it was written, with whole maps for its names.
fn cel_alone(source: &str, inputs: &Value, output: &Value) -> Result<String, String> {
    let program = environment().compile(source).map_err(|e| e.to_string())?;
    let steps = json!({ "a": { "output": output, "state": "done" } });
    let run = json!({ "id": "run_1", "project": "default", "plan": "p" });
    let mut context = cel::Context::with_env(environment());
    for (name, value) in [("inputs", inputs), ("steps", &steps), ("run", &run)] {
        context.add_variable_as_val(name, to_cel(value));
    }
    let value = cel::Value::resolve_val(program.expression(), &context).map_err(|e| e.to_string())?;
    from_cel(value.as_ref()).map(|value| value.to_string()).map_err(|e| e.message)
}

/// We and the interpreter agree, in value or in failing. `1 == 1.0` in CEL, so the text decides.
fn assert_same(source: &str, inputs: &Value, output: &Value) -> Result<(), TestCaseError> {
    let scope = scope_of(inputs.clone(), output.clone());
    let program = match Program::compile(source, false) {
        Ok(program) => program,
        // Found out before the run, where CEL would need to come across it.
        Err(e) if e.kind == ExprErrorKind::UnknownName => return Ok(()),
        Err(e) => {
            prop_assert!(cel_alone(source, inputs, output).is_err(), "{source}: {e}");
            return Ok(());
        }
    };
    let ours = program.eval(&scope, false).map(|value| value.to_string()).map_err(|e| e.message);
    let theirs = cel_alone(source, inputs, output);
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs, "{}", source),
        (Err(_), Err(_)) => {}
        _ => prop_assert!(false, "{source}: {ours:?} and {theirs:?}"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_chain_means_what_cel_means(source in chain(), inputs in any_json(), output in any_json()) {
        let inputs = if inputs.is_object() { inputs } else { json!({ "a": inputs }) };
        assert_same(&source, &inputs, &output)?;
    }

    #[test]
    fn what_is_rewritten_means_what_cel_means(
        source in (chain(), chain(), any_shape()).prop_map(|(a, b, shape)| shape.replace('A', &a).replace('B', &b)),
        inputs in any_json(),
        output in any_json(),
    ) {
        let inputs = if inputs.is_object() { inputs } else { json!({ "a": inputs }) };
        assert_same(&source, &inputs, &output)?;
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
        assert_same(&source, &json!({}), &Value::Null)?;
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
