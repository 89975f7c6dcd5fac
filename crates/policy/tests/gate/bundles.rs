//! What a bundle is refused for, and how it is put together.

use crate::ask::{Question, bundle, bundle_with};
use aidt_domain::Verdict;
use aidt_policy::{Bundle, BundleError};
use serde_json::json;
use std::fs;

const HEAD: &str = "package aidt.authz\n\ndefault decision := {\"verdict\": \"deny\"}\n\n";

fn refusal(rules: &str) -> String {
    bundle(&format!("{HEAD}{rules}")).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_compiled_is_refused_by_rule_and_line() {
    let broken = refusal("decision := {\"verdict\": \"allow\"} if {\n  input.x ==\n}\n");
    assert!(broken.starts_with("main.rego:7:1"), "{broken}");
    let with = refusal("decision := {\"verdict\": \"allow\"} if {\n  ok with input as {}\n}\n\nok if true\n");
    assert!(with.starts_with("main.rego:6:") && with.contains("rule 'decision'") && with.contains("with"), "{with}");
    let unknown = refusal("decision := {\"verdict\": \"allow\"} if fine\n\nfine if {\n  no_such_function(1)\n}\n");
    assert!(unknown.starts_with("main.rego:8:") && unknown.contains("rule 'fine'"), "{unknown}");
}

#[test]
fn what_depends_on_more_than_the_question_is_refused_by_rule_and_line() {
    for call in ["http.send({\"url\": \"http://x\"})", "time.now_ns()", "uuid.rfc4122(\"x\")", "opa.runtime()"] {
        let refused = refusal(&format!(
            "decision := {{\"verdict\": \"allow\"}} if fine\n\n# a comment\nfine if {{\n  x := {call}\n  x\n}}\n"
        ));
        assert!(refused.starts_with("main.rego:9:8, rule 'fine'"), "{call}: {refused}");
        assert!(refused.contains("nothing but its input"), "{call}: {refused}");
    }
}

#[test]
fn definitions_that_may_disagree_are_refused_by_rule_and_line() {
    let decision = refusal(
        "decision := {\"verdict\": \"allow\"} if input.a\n\ndecision := {\"verdict\": \"escalate\"} if input.b\n",
    );
    assert!(decision.starts_with("main.rego:7:1, rule 'decision'") && decision.contains("else"), "{decision}");
    let asked = "decision := {\"verdict\": \"allow\"} if level(input.x) > limit\n\n";
    let fine = |rules: &str| assert!(bundle(&format!("{HEAD}{asked}{rules}")).is_ok(), "{rules}");
    let wrong = |rules: &str| assert!(refusal(&format!("{asked}{rules}")).contains("may hold together"), "{rules}");
    fine("limit := 1\n\nlevel(\"a\") := 1\n\nlevel(\"b\") := 2\n");
    fine("limit := 1 if input.a\n\nlimit := 1 if input.b\n\nlevel(x) := x\n");
    wrong("limit := 1 if input.a\n\nlimit := 2 if input.b\n\nlevel(x) := x\n");
    wrong("limit := 1\n\nlevel(\"a\") := 1\n\nlevel(x) := 2 if x\n");
    wrong("limit := 1\n\nlevel(x) := x if x > 1\n\nlevel(x) := 2 if x\n");
}

#[test]
fn a_bundle_says_what_holds_when_no_rule_speaks() {
    for source in [
        "package aidt.authz\n",
        "package aidt.authz\ndecision := {\"verdict\": \"allow\"} if input.x\n",
        "package other\ndefault decision := {\"verdict\": \"deny\"}\n",
    ] {
        assert!(matches!(bundle(source), Err(BundleError::NoDefault)), "{source}: {:?}", bundle(source));
    }
}

#[test]
fn data_is_an_object_and_clashes_with_no_rule() {
    let source = format!("{HEAD}decision := {{\"verdict\": \"allow\"}} if data.settings.open\n");
    assert_eq!(
        Question::write().verdict(&bundle_with(&source, Some(json!({"settings": {"open": true}}))).unwrap()),
        Verdict::Allow
    );
    assert_eq!(Question::write().verdict(&bundle_with(&source, None).unwrap()), Verdict::Deny);
    assert!(matches!(bundle_with(&source, Some(json!([]))), Err(BundleError::Data { .. })));
    let clash = bundle_with(&source, Some(json!({"aidt": {"authz": {"decision": {"verdict": "allow"}}}})));
    assert!(matches!(clash, Err(BundleError::Conflict(_))), "{clash:?}");
}

#[test]
fn a_revision_is_the_digest_of_what_is_in_it() {
    let one = bundle(HEAD).unwrap();
    assert_eq!(one.revision(), bundle(HEAD).unwrap().revision());
    assert_ne!(one.revision(), bundle(&format!("{HEAD}# changed\n")).unwrap().revision());
    assert_ne!(one.revision(), bundle_with(HEAD, Some(json!({"a": 1}))).unwrap().revision());
}

#[test]
fn a_directory_is_a_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("teams")).unwrap();
    fs::write(
        at("main.rego"),
        format!("{HEAD}decision := {{\"verdict\": \"allow\"}} if data.teams.open[_] == input.subject.id\n"),
    )
    .unwrap();
    fs::write(
        at("main_test.rego"),
        "package aidt.authz_test\n\ntest_it if data.aidt.authz.decision with input as {}\n",
    )
    .unwrap();
    fs::write(at("teams/data.json"), r#"{"open": ["local"]}"#).unwrap();
    fs::write(at("README.md"), "not Rego").unwrap();
    let bundle = Bundle::load_dir(dir.path()).unwrap();
    assert_eq!(bundle.modules().iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["main.rego"]);
    assert_eq!(Question::write().verdict(&bundle), Verdict::Allow);

    fs::write(at("data.json"), r#"{"teams": {"open": ["local"]}}"#).unwrap();
    assert!(matches!(Bundle::load_dir(dir.path()), Err(BundleError::Conflict(_))));
    fs::write(at("data.json"), "[]").unwrap();
    assert!(matches!(Bundle::load_dir(dir.path()), Err(BundleError::Data { .. })));
    assert!(matches!(Bundle::load_dir(&at("nowhere")), Err(BundleError::Read { .. })));
}

#[test]
fn a_directory_laid_over_the_shipped_policy_adds_to_it() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Bundle::overlay_dir(dir.path()).unwrap().modules(), Bundle::shipped().modules());
    let extra =
        "package aidt.authz\n\ndeny contains \"not the notes\" if input.context.tool.arguments.path == \"NOTES.md\"\n";
    fs::write(dir.path().join("extra.rego"), extra).unwrap();
    let denied = Question::write().judged_by(&Bundle::overlay_dir(dir.path()).unwrap()).decision;
    assert_eq!((denied.verdict, denied.reasons), (Verdict::Deny, vec!["not the notes".to_owned()]));
    let other = Question::of("repo.write", "repo.write", r#"{"content":"x","path":"a"}"#);
    assert_eq!(other.verdict(&Bundle::overlay_dir(dir.path()).unwrap()), Verdict::Allow);

    fs::write(dir.path().join("main.rego"), format!("{HEAD}decision := {{\"verdict\": \"escalate\"}}\n")).unwrap();
    assert_eq!(Question::write().verdict(&Bundle::overlay_dir(dir.path()).unwrap()), Verdict::Escalate);
}
