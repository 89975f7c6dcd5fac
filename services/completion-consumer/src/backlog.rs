//! Steps that wait for room in their pool's window, in the order in which they enter it: projects take
//! turns; within a project priority, then age.

use aidt_domain::{Pool, Project, RunId, StepIx, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

type Place = (Reverse<i32>, Timestamp, RunId, StepIx);

/// A step that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) pool: Pool,
    pub(crate) project: Project,
    pub(crate) priority: i32,
    pub(crate) since: Timestamp,
    pub(crate) run: RunId,
    pub(crate) step: StepIx,
}

/// The backlog of all pools.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pools: BTreeMap<Pool, PoolBacklog>,
}

#[derive(Debug, Default)]
struct PoolBacklog {
    projects: BTreeMap<Project, BTreeSet<Place>>,
    /// Whose turn was last.
    last: Option<Project>,
    len: usize,
}

impl Backlog {
    pub(crate) fn push(&mut self, w: Waiting) {
        let pool = self.pools.entry(w.pool).or_default();
        let places = pool.projects.entry(w.project).or_default();
        pool.len += usize::from(places.insert((Reverse(w.priority), w.since, w.run, w.step)));
    }

    /// The next of this pool: the project after the one whose turn was last.
    pub(crate) fn pop(&mut self, pool: &Pool) -> Option<(RunId, StepIx)> {
        let backlog = self.pools.get_mut(pool)?;
        let project = {
            let after = backlog.last.as_ref().and_then(|last| {
                let rest = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
                backlog.projects.range::<Project, _>(rest).next()
            });
            after.or_else(|| backlog.projects.iter().next())?.0.clone()
        };
        let places = backlog.projects.get_mut(&project)?;
        let (_, _, run, step) = places.pop_first()?;
        if places.is_empty() {
            backlog.projects.remove(&project);
        }
        backlog.len -= 1;
        backlog.last = Some(project);
        if backlog.len == 0 {
            self.pools.remove(pool);
        }
        Some((run, step))
    }

    /// Pools in which something waits.
    pub(crate) fn pools(&self) -> Vec<Pool> {
        self.pools.keys().cloned().collect()
    }

    /// How many of this pool wait, and since when the oldest does.
    pub(crate) fn depth(&self, pool: &Pool) -> (usize, Option<Timestamp>) {
        let Some(pool) = self.pools.get(pool) else { return (0, None) };
        // The first of each priority would do; the first of each project is close, and costs nothing.
        let oldest = pool.projects.values().filter_map(|places| places.first().map(|place| place.1)).min();
        (pool.len, oldest)
    }

    pub(crate) fn len(&self) -> usize {
        self.pools.values().map(|p| p.len).sum()
    }

    /// Forgets what is of these runs.
    pub(crate) fn forget(&mut self, gone: impl Fn(RunId) -> bool) {
        for pool in self.pools.values_mut() {
            for places in pool.projects.values_mut() {
                places.retain(|(_, _, run, _)| !gone(*run));
            }
            pool.projects.retain(|_, places| !places.is_empty());
            pool.len = pool.projects.values().map(BTreeSet::len).sum();
        }
        self.pools.retain(|_, pool| pool.len > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn waiting(project: &str, priority: i32, since: i64, n: u128) -> Waiting {
        Waiting {
            pool: Pool::new("default").unwrap(),
            project: Project::new(project).unwrap(),
            priority,
            since: Timestamp(since),
            run: RunId(Uuid::from_u128(n)),
            step: StepIx(0),
        }
    }

    #[test]
    fn projects_take_turns_and_priority_goes_before_age() {
        let mut backlog = Backlog::default();
        for n in 0..100 {
            backlog.push(waiting("big", 0, 1, n));
        }
        backlog.push(waiting("big", 5, 9, 100));
        backlog.push(waiting("small", 0, 9, 200));
        let pool = Pool::new("default").unwrap();
        let first: Vec<u128> = (0..3).filter_map(|_| backlog.pop(&pool)).map(|(r, _)| r.0.as_u128()).collect();
        assert_eq!(first, [100, 200, 0]);
        assert_eq!(backlog.len(), 99);
        backlog.forget(|run| run.0.as_u128() < 50);
        assert_eq!(backlog.len(), 50);
    }
}
