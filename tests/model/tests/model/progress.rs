//! Nothing that happens by itself happens for ever: with "every accepted run ends" where nothing is left to
//! happen, every run ends on every way that is fair.

use crate::scenarios::{ANY_ONE, QUIET};
use aidt_model::{Bounds, Effect, Loop, Rules, State};
use std::collections::HashMap;

/// All states within bounds, and for each what follows by itself.
fn graph(model: &Loop) -> Vec<Vec<usize>> {
    let mut states: Vec<State> = vec![model.initial()];
    let mut known: HashMap<State, usize> = HashMap::from([(model.initial(), 0)]);
    let mut edges = Vec::new();
    while let Some(state) = states.get(edges.len()).cloned() {
        let mut from_here = Vec::new();
        for (next, by_itself) in model.follow(&state) {
            let new = states.len();
            let index = *known.entry(next).or_insert_with_key(|next| {
                states.push(next.clone());
                new
            });
            if by_itself {
                from_here.push(index);
            }
        }
        edges.push(from_here);
    }
    edges
}

/// How many states lie on a cycle, or lead to one.
fn circling(edges: &[Vec<usize>]) -> usize {
    let mut into = vec![Vec::new(); edges.len()];
    let mut left: Vec<usize> = edges.iter().map(Vec::len).collect();
    for (from, to) in edges.iter().enumerate() {
        to.iter().for_each(|&to| into[to].push(from));
    }
    let mut ends: Vec<usize> = (0..edges.len()).filter(|&state| left[state] == 0).collect();
    let mut done = 0;
    while let Some(end) = ends.pop() {
        done += 1;
        for &from in &into[end] {
            left[from] -= 1;
            if left[from] == 0 {
                ends.push(from);
            }
        }
    }
    edges.len() - done
}

#[test]
fn nothing_goes_on_for_ever_by_itself() {
    for effects in [&[Effect::Once][..], &[Effect::Idempotent][..]] {
        let bounds = Bounds { effects, cancels: 1, retries: 1, faults: ANY_ONE, ..QUIET };
        let edges = graph(&Loop { rules: Rules::ALL, bounds, strict: false });
        assert!(edges.len() > 10_000, "only {} states: the bounds allow nothing", edges.len());
        assert_eq!(circling(&edges), 0, "{effects:?}");
    }
}

#[test]
fn a_circle_is_seen() {
    assert_eq!(circling(&[vec![1], vec![2], vec![1], vec![]]), 3);
    assert_eq!(circling(&[vec![1, 3], vec![2], vec![3], vec![]]), 0);
}
