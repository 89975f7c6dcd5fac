//! gate.md §1: judged again only when the policy has moved on, and only stricter.

use crate::support::rows::step;
use crate::support::{World, allow_all, bundle};
use aidt_domain::{Outcome, StepMessage, Verdict};

const DENY: &str = "package aidt.authz\n\
    default decision := {\"verdict\": \"deny\", \"reasons\": [\"closed\"]}\n";
const ESCALATE: &str = "package aidt.authz\n\
    default decision := {\"verdict\": \"escalate\", \"reasons\": [\"ask\"]}\n";
const OBLIGE: &str = "package aidt.authz\n\
    default decision := {\"verdict\": \"allow\", \"obligations\": {\"log\": true}}\n";
const PLAN: &str = "package aidt.authz\n\
    default decision := {\"verdict\": \"deny\"}\n\
    decision := {\"verdict\": \"allow\"} if input.context.plan.name == \"plan\"\n";

fn judged_by_another() -> StepMessage {
    let mut step = step(1);
    step.decision.revision = "an older one".to_owned();
    step
}

#[tokio::test(start_paused = true)]
async fn a_step_judged_by_the_active_policy_is_not_judged_again() {
    let mut world = World::new(1).await;
    let strict = bundle(DENY);
    world.policy.replace(strict.clone());
    let mut step = step(1);
    step.decision.revision = strict.revision().to_owned();
    world.dispatch(&step).await;
    world.run();
    world.workers.started().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_policy_that_denies_or_escalates_refuses_with_its_decision() {
    for (rego, verdict) in [(DENY, Verdict::Deny), (ESCALATE, Verdict::Escalate)] {
        let mut world = World::new(1).await;
        world.policy.replace(bundle(rego));
        world.dispatch(&step(1)).await;
        world.run();
        let Outcome::Refused(decision) = world.finished().await.outcome else { panic!("refused") };
        assert_eq!((decision.verdict, decision.revision), (verdict, world.policy.revision()));
        world.workers.none_started().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_policy_that_allows_may_add_obligations() {
    let mut world = World::new(1).await;
    world.policy.replace(bundle(OBLIGE));
    let mut step = step(1);
    step.decision.obligations.insert("mask".to_owned(), serde_json::json!(1));
    world.dispatch(&step).await;
    world.run();
    assert_eq!(&*world.workers.started().await.obligations, "{\"log\":true,\"mask\":1}");
}

#[tokio::test(start_paused = true)]
async fn judging_again_knows_the_run_and_keeps_the_plans_ceiling() {
    let mut world = World::new(2).await;
    world.policy.replace(bundle(PLAN));
    world.dispatch(&judged_by_another()).await;
    world.run();
    world.workers.started().await;
    let mut other = step(2);
    other.decision.capability = "process.exec".to_owned();
    world.dispatch(&other).await;
    let Outcome::Refused(decision) = world.finished().await.outcome else { panic!("refused") };
    assert!(decision.reasons[0].contains("permissions"), "{:?}", decision.reasons);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_judged_again_is_refused() {
    let mut world = World::new(1).await;
    world.policy.replace(allow_all());
    // No such run is stored.
    world.publish(&judged_by_another()).await;
    world.run();
    let Outcome::Refused(decision) = world.finished().await.outcome else { panic!("refused") };
    assert_eq!(decision.verdict, Verdict::Deny);
}
