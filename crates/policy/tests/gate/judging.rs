//! From a question to a decision.

use crate::ask::{Question, rules};
use aidt_domain::{RunId, Verdict};
use aidt_policy::{ActivePolicy, Bundle, Judge};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

fn deny_reason(rego: &str) -> String {
    let decision = Question::write().judged_by(&rules(rego)).decision;
    assert_eq!(decision.verdict, Verdict::Deny, "{rego}");
    decision.reasons.join("; ")
}

#[test]
fn a_judge_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Judge>();
    is_send::<Arc<Bundle>>();
    is_send::<ActivePolicy>();
}

#[test]
fn a_decision_says_by_which_revision_and_why() {
    let bundle = rules(
        r#"decision := {"verdict": "allow", "reasons": {"b", "a"}, "warnings": ["w"], "obligations": {"max": 3}}"#,
    );
    let decision = Question::write().judged_by(&bundle).decision;
    assert_eq!((decision.verdict, decision.id.as_str()), (Verdict::Allow, "dec_1"));
    assert_eq!(decision.capability, "repo.write");
    assert_eq!((decision.reasons, decision.warnings), (vec!["a".to_owned(), "b".into()], vec!["w".to_owned()]));
    assert_eq!(serde_json::to_string(&decision.obligations).unwrap(), r#"{"max":3}"#);
    assert_eq!(decision.revision, bundle.revision());
    assert!(bundle.revision().starts_with("sha256:") && !bundle.revision().contains('\n'));
}

#[test]
fn it_fails_closed() {
    assert!(deny_reason("").contains("gives no reason"));
    assert!(deny_reason(r#"decision := {"verdict": "maybe"}"#).contains("none of allow"));
    assert!(deny_reason("decision := true").contains("not an object"));
    assert!(deny_reason(r#"decision := {"verdict": "transform"}"#).contains("gives no arguments"));
    assert!(deny_reason(r#"decision := {"verdict": "allow", "obligations": 3}"#).contains("not an object"));
}

#[test]
fn a_policy_that_does_not_end_is_stopped_by_its_instructions() {
    let reason = deny_reason(
        r#"decision := {"verdict": "allow"} if count([1 | some a in numbers.range(1, 1000); some b in numbers.range(1, 1000); a == b]) > 0"#,
    );
    assert!(reason.contains("instruction"), "{reason}");
}

#[test]
fn arguments_that_the_policy_cannot_see_are_not_allowed() {
    let bundle = rules(r#"decision := {"verdict": "allow"}"#);
    for arguments in [r#"{"n":1e400}"#, r#"{"s":"\ud800"}"#, r#"{"a":1,"a":2}"#, "{", ""] {
        let decision = Question::of("repo.write", "t", arguments).judged_by(&bundle).decision;
        assert_eq!(decision.verdict, Verdict::Deny, "{arguments}");
        assert!(decision.reasons[0].contains("cannot be judged"), "{:?}", decision.reasons);
    }
}

#[test]
fn the_plans_ceiling_comes_first() {
    let bundle = rules(r#"decision := {"verdict": "allow"}"#);
    let asked = |question: Question| question.judged_by(&bundle).decision;
    let refused = asked(Question::write().permissions(&["repo.read"]));
    assert_eq!(refused.verdict, Verdict::Deny);
    assert_eq!(refused.reasons, ["the plan's permissions do not list 'repo.write'"]);
    assert_eq!(asked(Question::write().permissions(&[])).verdict, Verdict::Deny);
    assert_eq!(asked(Question::write().permissions(&["repo.read", "repo.write"])).verdict, Verdict::Allow);
    let prepare = Question::of("repo.clone", "workspace.prepare", "{}").step("@workspace").permissions(&[]);
    assert_eq!(asked(prepare).verdict, Verdict::Allow, "the plan asked for its workspace by naming it");
}

const LIMIT: &str = r#"
    decision := {"verdict": "deny", "reasons": ["too many"]} if input.context.tool.arguments.limit > 100
    else := {"verdict": "transform", "reasons": ["limited"], "obligations": {"a": 1, "b": 1},
             "arguments": object.union(input.context.tool.arguments, {"limit": 10})} if input.context.tool.arguments.limit > 10
    else := {"verdict": "allow", "reasons": ["small"], "obligations": {"b": 2}}"#;

#[test]
fn a_transform_is_judged_once_more() {
    let bundle = rules(LIMIT);
    let judged = |limit| Question::of("x", "t", &format!(r#"{{"limit":{limit}}}"#)).judged_by(&bundle);
    let transformed = judged(50);
    assert_eq!(transformed.decision.verdict, Verdict::Transform);
    assert_eq!(transformed.arguments.unwrap(), br#"{"limit":10}"#);
    assert_eq!(transformed.decision.reasons, ["limited", "small"]);
    assert_eq!(serde_json::to_string(&transformed.decision.obligations).unwrap(), r#"{"a":1,"b":2}"#);
    assert_eq!((judged(5).decision.verdict, judged(5).arguments), (Verdict::Allow, None));
    assert_eq!((judged(500).decision.verdict, judged(500).arguments), (Verdict::Deny, None));
}

#[test]
fn a_transform_cannot_escape_by_its_result() {
    let to = |limit: u32| LIMIT.replace(r#"{"limit": 10}"#, &format!(r#"{{"limit": {limit}}}"#));
    let judged = |rego: &str| Question::of("x", "t", r#"{"limit":50}"#).judged_by(&rules(rego));
    let denied = judged(&to(200));
    assert_eq!((denied.decision.verdict, denied.arguments), (Verdict::Deny, None));
    let never_content = LIMIT.replace(r#"{"limit": 10}"#, r#"{"limit": input.context.tool.arguments.limit + 1}"#);
    let denied = judged(&never_content);
    assert_eq!(denied.decision.verdict, Verdict::Deny);
    assert!(denied.decision.reasons[0].contains("again"));
    let escalated = judged(&to(200).replace(r#""deny""#, r#""escalate""#));
    assert_eq!(escalated.decision.verdict, Verdict::Escalate);
    assert_eq!(escalated.arguments.unwrap(), br#"{"limit":200}"#, "a person approves what would run");
}

#[test]
fn a_transform_that_changes_nothing_is_an_allow() {
    let bundle = rules(r#"decision := {"verdict": "transform", "arguments": input.context.tool.arguments}"#);
    let judged = Question::write().judged_by(&bundle);
    assert_eq!((judged.decision.verdict, judged.arguments), (Verdict::Allow, None));
}

#[test]
fn a_replaced_policy_judges_the_next_question() {
    let active = ActivePolicy::new(rules(r#"decision := {"verdict": "allow"}"#));
    let mut judge = Judge::new(active.current());
    assert_eq!(judge.judge(&Question::write().borrow()).decision.verdict, Verdict::Allow);
    active.replace(rules(r#"decision := {"verdict": "escalate"}"#));
    judge.follow(&active);
    assert_eq!(judge.judge(&Question::write().borrow()).decision.verdict, Verdict::Escalate);
    assert_eq!(judge.revision(), active.revision());
}

/// Whatever was asked before, a kept judge builds the same input as a new one.
#[test]
fn nothing_of_an_earlier_question_stays_in_the_input() {
    let mut kept = Judge::new(Bundle::shipped());
    let changes: [fn(&mut Question); 10] = [
        |_| {},
        |q| q.run = RunId(Uuid::from_u128(2)),
        |q| q.run_labels = BTreeMap::new(),
        |q| q.permissions = Some(vec![]),
        |q| q.permissions = Some(vec!["repo.write".into()]),
        |q| q.labels = ["network:example.com"].into_iter().collect(),
        |q| q.budget.calls_used = 7,
        |q| q.traceparent = Some("00-1".into()),
        |q| q.sandbox = Some("bubblewrap".into()),
        |q| (q.dispatch, q.arguments) = (9, r#"{"other":[1,{"deep":true}]}"#.into()),
    ];
    for first in changes {
        for then in changes {
            for (n, change) in [first, then].into_iter().enumerate() {
                let mut question = Question::write();
                change(&mut question);
                let fresh = Judge::new(Bundle::shipped()).input(&question.borrow()).unwrap();
                assert_eq!(kept.input(&question.borrow()).unwrap(), fresh, "question {n}");
                kept.judge(&question.borrow());
            }
        }
    }
}
