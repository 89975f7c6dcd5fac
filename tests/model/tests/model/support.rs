//! Checks, each made once in a process however many tests ask for it.

use aidt_model::{Action, Loop, State};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Instant;

/// What an exhaustive check came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walked {
    pub(crate) unique: usize,
    pub(crate) depth: usize,
}

/// A check whose answer is kept.
pub(crate) type Kept<T> = OnceLock<T>;

/// Walks every state; panics with the path to the first that breaks a property.
pub(crate) fn walk(name: &str, model: Loop) -> Walked {
    let at = Instant::now();
    let checker = model.checker().spawn_bfs().join();
    let walked = Walked { unique: checker.unique_state_count(), depth: checker.max_depth() };
    println!("{name}: {} states, depth {}, {:.1?}", walked.unique, walked.depth, at.elapsed());
    let broken: Vec<_> = checker.discoveries().into_iter().collect();
    for (property, path) in &broken {
        tell(property, path.clone().into_vec());
    }
    assert!(broken.is_empty(), "{name}: {:?}", broken.iter().map(|(property, _)| property).collect::<Vec<_>>());
    walked
}

/// The shortest path to a state that breaks this property.
pub(crate) fn refute(name: &str, model: &Loop, property: &'static str) -> usize {
    let wanted = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let mut depth = usize::MAX;
    let mut shortest = None;
    // The checker stops some states after the first that it finds, and keeps the last: look before it.
    loop {
        let search = model.clone().checker().finish_when(wanted.clone()).target_max_depth(depth).spawn_bfs().join();
        let Some(path) = search.discovery(property) else { break };
        let path = path.into_vec();
        // A path of n states has n - 1 actions; the next must have fewer.
        depth = path.len();
        shortest = Some(path);
    }
    let path = shortest.unwrap_or_else(|| panic!("{name}: nothing refutes \"{property}\""));
    let actions = path.len() - 1;
    println!("{name}, after {actions} actions not: {property}");
    tell(property, path);
    actions
}

fn tell(property: &str, path: Vec<(State, Option<Action>)>) {
    println!("  to what breaks \"{property}\":");
    let mut last = None;
    for (number, (state, action)) in path.into_iter().enumerate() {
        if let Some(action) = action {
            println!("  {:>3} {action:?}", number + 1);
        }
        last = Some(state);
    }
    println!("  {last:?}");
}
