//! What a plan's author can write, and what they are told when it does not work.
#![expect(clippy::unwrap_used, reason = "tests")]

use aidt_domain::{ErrorCode, Failure, Labels, StepState};
use aidt_expr::{Condition, ExprErrorKind, Needs, Output, References, RunFacts, Scope, StepFacts, Template, limits};
use serde_json::{Value, json};
use std::sync::Arc;

fn facts(state: StepState, output: Option<Output>, label: &str) -> StepFacts {
    let error = (state == StepState::Failed).then(|| Arc::new(Failure::fatal(ErrorCode::ToolFailed, "no disk")));
    StepFacts { state, output, error, labels: Arc::new(Labels::one(label)) }
}

fn scope() -> Scope {
    let run = RunFacts { id: "run_7".to_owned(), project: "default".to_owned(), plan: "notes".to_owned() };
    let inputs =
        json!({ "repo": ".", "count": 3, "rate": 1.0, "tags": ["b", "a"], "deep": { "b": 1, "a": { "c": null } } });
    let log = json!({ "commits": [
        { "id": "c1", "subject": "first", "files": 2 },
        { "id": "c2", "subject": "second", "files": 5 },
    ], "big": 9_007_199_254_740_993_i64, "wide": 18_446_744_073_709_551_615_u64 });
    Scope::new(Arc::new(run), Arc::new(inputs), Arc::new(Labels::user()))
        .with_step("log", facts(StepState::Done, Some(Output::Value(Arc::new(log))), "repo"))
        .with_step("bad", facts(StepState::Failed, None, "network:x"))
        .with_step("skipped", facts(StepState::Skipped, None, "none"))
        .with_step(
            "huge",
            facts(StepState::Done, Some(Output::Claimed(Arc::new(json!({ "artifact": "sha256:1" })))), "artifact:1"),
        )
        .with_step("a-b", facts(StepState::Done, Some(Output::Value(Arc::new(json!(1)))), "model"))
}

fn render(template: Value) -> Result<Value, String> {
    let template = Template::compile(&template).map_err(|e| e.to_string())?;
    template.render(&scope()).map(|rendered| rendered.value).map_err(|e| e.to_string())
}

fn eval(source: &str) -> Result<Value, String> {
    render(json!(format!("${{{{ {source} }}}}")))
}

fn error(source: &str) -> String {
    let e = eval(source).expect_err(source);
    e.split(", in the expression").next().unwrap().to_owned()
}

#[test]
fn one_expression_keeps_its_type_and_several_make_text() {
    assert_eq!(eval("inputs.count").unwrap(), json!(3));
    assert_eq!(eval("inputs.rate").unwrap().to_string(), "1.0");
    assert_eq!(eval("steps.log.output.commits[1].id").unwrap(), json!("c2"));
    assert_eq!(
        render(json!({ "a": ["${{ inputs.repo }} has ${{inputs.count}} and ${{ inputs.deep }}", 5], "b": true }))
            .unwrap(),
        json!({ "a": [". has 3 and {\"a\":{\"c\":null},\"b\":1}", 5], "b": true })
    );
    assert_eq!(
        render(json!("id ${{ steps.log.output.big }}/${{ run.id }}")).unwrap(),
        json!("id 9007199254740993/run_7")
    );
    assert_eq!(render(json!("${{ '${{' }} stays")).unwrap(), json!("${{ stays"));
}

#[test]
fn cel_goes_through_lists_and_maps() {
    assert_eq!(
        eval("steps.log.output.commits.map(c, '- ' + c.subject).join('\\n')").unwrap(),
        json!("- first\n- second")
    );
    assert_eq!(eval("steps.log.output.commits.filter(c, c.files > 3).size()").unwrap(), json!(1));
    assert_eq!(eval("steps.log.output.commits.exists(c, c.id == 'c2') && inputs.count >= 3").unwrap(), json!(true));
    assert_eq!(eval("inputs.tags.join('\n')").unwrap(), json!("b\na"));
    assert_eq!(eval("inputs.deep.map(k, k)").unwrap(), json!(["a", "b"]));
    assert_eq!(eval("{'z': 1, 'y': 2, 'x': 3}.map(k, k)").unwrap(), json!(["x", "y", "z"]));
    assert_eq!(eval("inputs.tags.sort() + ['c']").unwrap(), json!(["a", "b", "c"]));
    assert_eq!(eval("steps.log.output.commits.sortBy(c, -c.files)[0].id").unwrap(), json!("c2"));
    assert_eq!(eval("lists.range(3).map(i, i * i)").unwrap(), json!([0, 1, 4]));
    assert_eq!(eval("'a,b'.split(',').map(s, s.upperAscii())").unwrap(), json!(["A", "B"]));
    assert_eq!(eval("'aXbX'.replace('X', '-')").unwrap(), json!("a-b-"));
    assert_eq!(eval("math.greatest(inputs.count, 7)").unwrap(), json!(7));
    assert_eq!(eval("size(inputs)").unwrap(), json!(5));
    assert_eq!(eval("inputs.tags[inputs.count - 3]").unwrap(), json!("b"));
    assert_eq!(eval("type(inputs.count) == int").unwrap(), json!(true));
    assert_eq!(eval("{'k': [1.5, null, b'x' == b'x']}").unwrap(), json!({ "k": [1.5, null, true] }));
    assert_eq!(eval("inputs.tags.map(t, inputs.tags.map(u, t + u)).flatten().size()").unwrap(), json!(4));
    assert_eq!(eval("'a.b'.matches('^a[.]b$')").unwrap(), json!(true));
}

#[test]
fn numbers_survive_or_are_refused() {
    assert_eq!(eval("steps.log.output.big > 9007199254740992").unwrap(), json!(true));
    assert_eq!(eval("string(steps.log.output.wide)").unwrap(), json!("18446744073709551615"));
    assert_eq!(
        error("steps.log.output.big"),
        "the whole number 9007199254740993 is beyond 2^53 - 1 and would be rounded: use string(…)"
    );
    assert_eq!(error("1.0 / 0.0"), "the result is not a finite number");
    assert_eq!(error("1 / 0"), "it divides by zero");
    assert_eq!(error("9223372036854775807 + 1"), "the result is beyond the range of numbers");
    assert!(Template::compile(&json!({ "n": 9_007_199_254_740_993_i64 })).is_err());
}

#[test]
fn presence_can_be_asked() {
    assert_eq!(eval("has(inputs.repo)").unwrap(), json!(true));
    assert_eq!(eval("has(inputs.nope)").unwrap(), json!(false));
    assert_eq!(eval("has(inputs.deep.a.c)").unwrap(), json!(true));
    assert_eq!(eval("has(inputs.deep.x) ? inputs.deep.x : 'none'").unwrap(), json!("none"));
    assert_eq!(eval("has(steps.skipped.output)").unwrap(), json!(false));
    assert_eq!(eval("has(steps.bad.error) ? steps.bad.error.message : ''").unwrap(), json!("no disk"));
    assert_eq!(eval("steps.bad.error.code + ' ' + steps.bad.state").unwrap(), json!("tool_failed failed"));
    assert_eq!(eval("steps['a-b'].output").unwrap(), json!(1));
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        error("inputs.nope"),
        "the input 'nope' was not given and has no default (has(inputs.nope) tells whether it is there)"
    );
    assert_eq!(error("inputs.deep.x.y"), "inputs.deep has no 'x' (it has a, b)");
    assert_eq!(
        error("steps.log.output.commits[7]"),
        "steps.log.output.commits[7] is beyond the end of the list, which has 2 elements"
    );
    assert_eq!(error("inputs.count.x"), "inputs.count is a number, and has no 'x'");
    assert_eq!(error("steps.skipped.output.x"), "step 'skipped' has no output: it is skipped");
    assert_eq!(error("steps.log.error.message"), "step 'log' has no error: it is done");
    assert_eq!(error("inputs.deep.x + 'a'"), "inputs.deep has no 'x' (it has a, b)");
    let e = Template::compile(&json!({ "a": [0, "b ${{ inputs.deep.x }}"] })).unwrap().render(&scope()).unwrap_err();
    assert_eq!((e.kind, e.at.as_str(), e.expression.as_str()), (ExprErrorKind::Missing, ".a[1]", "inputs.deep.x"));
    assert_eq!(e.to_string(), "inputs.deep has no 'x' (it has a, b), in the expression 'inputs.deep.x' at .a[1]");
}

#[test]
fn what_cannot_be_is_refused_when_it_is_compiled() {
    let refused = |source: &str| {
        let e = Template::compile(&json!(format!("${{{{{source}}}}}"))).expect_err(source);
        (e.kind, e.nearest.unwrap_or_default())
    };
    let unknown = |word: &str| (ExprErrorKind::UnknownName, word.to_owned());
    assert_eq!(refused("input.repo"), unknown("inputs"));
    assert_eq!(refused("steps.log.outptu.x"), unknown("output"));
    assert_eq!(refused("run.ids"), unknown("id"));
    assert_eq!(refused("steps"), unknown(""));
    assert_eq!(refused("steps.log"), unknown(""));
    assert_eq!(refused("steps.a-b.output"), unknown(""));
    assert_eq!(refused("steps.map(s, s)"), unknown(""));
    assert_eq!(refused("inputs.tags.map(inputs, inputs)"), unknown(""));
    assert_eq!(refused("Foo{a: 1}"), unknown(""));
    assert_eq!(refused("inputs.tags.mapp(x, x)").0, ExprErrorKind::UnknownFunction);
    assert_eq!(refused("math.abz(1)"), (ExprErrorKind::UnknownFunction, "math.abs".to_owned()));
    assert_eq!(refused("always()").0, ExprErrorKind::UnknownFunction);
    assert_eq!(refused("1 +").0, ExprErrorKind::Syntax);
    assert_eq!(refused("").0, ExprErrorKind::Syntax);
    assert_eq!(refused("inputs.?x").0, ExprErrorKind::Syntax);
    assert_eq!(refused("'a'.matches(inputs.repo)").0, ExprErrorKind::Limit);
    let e = Template::compile(&json!({ "${{ a }}": 1 })).unwrap_err();
    assert_eq!(e.message, "an expression cannot stand in a key");
}

#[test]
fn a_claimed_output_is_passed_whole_only() {
    assert_eq!(eval("steps.huge.output").unwrap(), json!({ "artifact": "sha256:1" }));
    assert_eq!(eval("has(steps.huge.output)").unwrap(), json!(true));
    for source in ["steps.huge.output.x", "size(steps.huge.output)", "[steps.huge.output]"] {
        assert_eq!(error(source), "the output of step 'huge' is over 256 KiB: it can be passed whole, not looked into");
    }
    assert!(render(json!("text ${{ steps.huge.output }}")).is_err());
}

#[test]
fn references_and_labels_are_those_of_every_part() {
    let source =
        json!(["${{ inputs.repo }}", { "x": "a ${{ steps.log.output.n + steps['a-b'].state }} ${{ run.id }}" }]);
    let template = Template::compile(&source).unwrap();
    let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    assert_eq!(
        *template.references(),
        References {
            inputs: set(&["repo"]),
            all_inputs: false,
            steps: set(&["a-b", "log"]),
            outputs: set(&["log"]),
            run: true,
        }
    );
    let dynamic = Template::compile(&json!("${{ inputs[run.plan] }}")).unwrap();
    assert!(dynamic.references().all_inputs);
    let rendered =
        Template::compile(&json!("${{ steps.log.state }}${{ steps.bad.state }}")).unwrap().render(&scope()).unwrap();
    assert_eq!(rendered.labels, ["network:x", "repo"].into_iter().collect());
    assert_eq!(Template::compile(&json!([1, "x"])).unwrap().render(&scope()).unwrap().labels, Labels::NONE);
}

#[test]
fn a_condition_is_true_or_false() {
    let decide = |source: &str| Condition::compile(source).unwrap().eval(&scope()).map(|(wanted, _)| wanted);
    assert_eq!(decide("steps.log.state == 'done'"), Ok(true));
    assert_eq!(decide("true"), Ok(true));
    assert!(decide("inputs.repo").is_err() && decide("inputs.count + 1").is_err());
    assert!(Condition::compile("'yes'").is_err());
    let (_, labels) = Condition::compile("steps.log.output.commits.size() > 0").unwrap().eval(&scope()).unwrap();
    assert_eq!(labels, Labels::one("repo"));
}

#[test]
fn a_condition_may_ask_for_the_status() {
    let needs = Needs::of([(StepState::Done, false), (StepState::Failed, false)]);
    assert_eq!(needs, Needs { succeeded: false, failed: true });
    assert_eq!(Needs::of([(StepState::Failed, true)]), Needs { succeeded: true, failed: false });
    assert_eq!(Needs::of([(StepState::Skipped, false)]), Needs { succeeded: false, failed: false });
    let scope = scope().with_needs(needs);
    for (source, wanted) in
        [("always()", true), ("success()", false), ("failure()", true), ("!failure() || inputs.count > 2", true)]
    {
        let condition = Condition::compile(source).unwrap();
        assert!(condition.always(), "{source}");
        assert_eq!(condition.eval(&scope).unwrap().0, wanted, "{source}");
    }
    assert!(!Condition::compile("inputs.count > 2").unwrap().always());
}

#[test]
fn limits_hold_before_and_while_it_is_evaluated() {
    let limit = |source: &str| {
        let template = Template::compile(&json!(format!("${{{{ {source} }}}}")));
        match template.and_then(|t| t.render(&scope())) {
            Ok(_) => panic!("{}", &source[..source.len().min(80)]),
            Err(e) => assert_eq!(e.kind, ExprErrorKind::Limit, "{} {e}", &source[..source.len().min(80)]),
        }
    };
    limit(&format!("'{}'", "x".repeat(limits::SOURCE_BYTES)));
    limit(&format!("1{}", " + 1".repeat(limits::TOKENS)));
    limit(&format!("1{}", " + 1".repeat(limits::DEPTH)));
    limit("[1].map(a, [1].map(b, [1].map(c, c)))");
    limit("lists.range(100000).map(x, lists.range(100000).map(y, x * y))");
    limit("lists.range(100000).exists(x, lists.range(100000).exists(y, x + y < 0)) || true");
    let grow = |source: &str| assert!(eval(source).is_err(), "{source}");
    grow("lists.range(100001)");
    grow("lists.range(60000) + lists.range(60000)");
    grow(&format!("lists.range(20000).map(i, '{}').join()", "x".repeat(64)));
    grow(&format!("'{0}'.replace('x', '{0}').replace('x', '{0}')", "x".repeat(400)));
    assert!(eval("lists.range(20000).map(x, x + 1).filter(y, y % 2 == 0).size()").is_ok());
}

#[test]
fn a_large_value_is_not_gone_through_once_per_element() {
    let list: Vec<u32> = (0..90_000).collect();
    let scope =
        Scope::new(Arc::default(), Arc::new(json!({ "list": list, "text": "x".repeat(250_000) })), Arc::default());
    let run = |source: &str| Template::compile(&json!(format!("${{{{ {source} }}}}"))).unwrap().render(&scope);
    assert_eq!(run("inputs.list.filter(x, x in inputs.list)").unwrap_err().kind, ExprErrorKind::Limit);
    assert_eq!(run("inputs.list.map(x, inputs.text).size()").unwrap_err().kind, ExprErrorKind::Limit);
    assert_eq!(run("[inputs.text].map(t, inputs.list.map(i, t + t)).size()").unwrap_err().kind, ExprErrorKind::Limit);
    assert_eq!(run("inputs.list.map(x, x).size()").unwrap().value, json!(90_000));
    assert_eq!(run("inputs.text.size()").unwrap().value, json!(250_000));
}

#[test]
fn what_nests_deeply_does_not_exhaust_a_small_stack() {
    let sources = [
        format!("{}1{}", "(".repeat(200), ")".repeat(200)),
        format!("{}1{}", "[".repeat(200), "]".repeat(200)),
        format!("1{}", "+1".repeat(255)),
        format!("{}true", "!".repeat(500)),
        format!("inputs{}", ".a".repeat(250)),
        format!("inputs.f(){}", ".f()".repeat(120)),
        format!("true{}", " ? true : true".repeat(120)),
        format!("1{}", "+1".repeat(60)),
    ];
    let work = move || sources.iter().for_each(|source| drop(eval(source)));
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(work).unwrap().join().unwrap();
}
