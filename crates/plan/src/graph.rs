//! Finds cycles, in time linear in steps and needs.

use std::collections::VecDeque;

/// One shortest cycle for each knot of steps that need one another: the steps in order, from the
/// first of the document. `needs[a]` lists what `a` needs.
pub(crate) fn cycles(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let knots = knots(needs);
    let mut of = vec![usize::MAX; needs.len()];
    for (i, knot) in knots.iter().enumerate() {
        for step in knot {
            of[*step] = i;
        }
    }
    let cyclic = |knot: &&Vec<usize>| knot.len() > 1 || needs[knot[0]].contains(&knot[0]);
    let mut found: Vec<_> = knots.iter().filter(cyclic).map(|knot| shortest(knot, needs, &of)).collect();
    found.sort_unstable();
    found
}

/// The shortest way from the first step of a knot back to itself, without leaving the knot.
fn shortest(knot: &[usize], needs: &[Vec<usize>], of: &[usize]) -> Vec<usize> {
    let start = *knot.iter().min().expect("a knot has steps");
    let mut from = std::collections::BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(step) = queue.pop_front() {
        for need in needs[step].iter().filter(|need| of[**need] == of[start]) {
            if *need == start {
                let mut path = vec![step];
                while let Some(before) = from.get(path.last().expect("it begins with a step")) {
                    path.push(*before);
                }
                path.reverse();
                return path;
            }
            if !from.contains_key(need) {
                from.insert(*need, step);
                queue.push_back(*need);
            }
        }
    }
    vec![start]
}

/// Strongly connected components: Tarjan, "Depth-first search and linear graph algorithms" (1972),
/// without recursion.
fn knots(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let count = needs.len();
    let (mut index, mut low) = (vec![NEW; count], vec![0; count]);
    let mut on_stack = vec![false; count];
    let (mut stack, mut knots, mut next) = (Vec::new(), Vec::new(), 0);
    for root in 0..count {
        if index[root] != NEW {
            continue;
        }
        // A step, and how many of its needs were looked at.
        let mut calls = vec![(root, 0)];
        while let Some((step, looked)) = calls.pop() {
            if looked == 0 {
                (index[step], low[step]) = (next, next);
                next += 1;
                stack.push(step);
                on_stack[step] = true;
            } else {
                let done = needs[step][looked - 1];
                if on_stack[done] {
                    low[step] = low[step].min(low[done]);
                }
            }
            if let Some(need) = needs[step].get(looked) {
                calls.push((step, looked + 1));
                if index[*need] == NEW {
                    calls.push((*need, 0));
                } else if on_stack[*need] {
                    low[step] = low[step].min(index[*need]);
                }
                continue;
            }
            if low[step] == index[step] {
                let at = stack.iter().rposition(|s| *s == step).expect("it was pushed");
                let knot = stack.split_off(at);
                knot.iter().for_each(|s| on_stack[*s] = false);
                knots.push(knot);
            }
        }
    }
    knots
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_a_shortest_cycle_of_each_knot() {
        assert_eq!(cycles(&[vec![1], vec![2], vec![]]), Vec::<Vec<usize>>::new());
        assert_eq!(cycles(&[vec![0]]), [vec![0]]);
        assert_eq!(cycles(&[vec![], vec![3], vec![1], vec![2, 1]]), [vec![1, 3]]);
        assert_eq!(cycles(&[vec![1], vec![0], vec![3], vec![2], vec![0, 2]]), [vec![0, 1], vec![2, 3]]);
    }

    #[test]
    fn a_long_chain_takes_no_stack() {
        let chain: Vec<Vec<usize>> = (0..100_000).map(|i| vec![(i + 1) % 100_000]).collect();
        assert_eq!(cycles(&chain), [(0..100_000).collect::<Vec<_>>()]);
    }

    /// Kahn's algorithm: whether all can be put in order.
    fn has_order(needs: &[Vec<usize>]) -> bool {
        let mut done = vec![false; needs.len()];
        loop {
            let ready: Vec<usize> =
                (0..needs.len()).filter(|i| !done[*i] && needs[*i].iter().all(|n| done[*n])).collect();
            if ready.is_empty() {
                return done.iter().all(|d| *d);
            }
            ready.into_iter().for_each(|i| done[i] = true);
        }
    }

    proptest! {
        #[test]
        fn a_cycle_is_found_exactly_when_there_is_no_order(
            needs in (1..12_usize).prop_flat_map(|n| {
                prop::collection::vec(prop::collection::vec(0..n, 0..4), n)
            }),
        ) {
            let found = cycles(&needs);
            prop_assert_eq!(found.is_empty(), has_order(&needs));
            for cycle in found {
                for (i, step) in cycle.iter().enumerate() {
                    prop_assert!(needs[*step].contains(&cycle[(i + 1) % cycle.len()]));
                }
            }
        }
    }
}
