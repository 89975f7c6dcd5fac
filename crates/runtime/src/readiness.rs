//! Whether this process can do its work, and what it waits for if not.

use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// `None`: ready. Else the reason why not.
type States = BTreeMap<String, Option<String>>;

/// Collects what the components of a process say; clones share it. Without components: ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    states: Arc<watch::Sender<States>>,
}

/// What [`Readiness::report`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// All components are.
    pub ready: bool,
    /// Each, by name.
    pub components: Vec<ComponentReport>,
}

/// One component's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentReport {
    /// Its name, e.g. `store`.
    pub name: String,
    /// Why it is not ready; `None` when it is.
    pub reason: Option<String>,
}

impl Readiness {
    /// Nothing to wait for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component, not ready: "starting". A second one of a name takes the first one's place.
    #[must_use]
    pub fn component(&self, name: &str) -> Component {
        let component = Component { name: name.to_owned(), states: Arc::clone(&self.states) };
        component.not_ready("starting");
        component
    }

    /// What all components say now.
    #[must_use]
    pub fn report(&self) -> Report {
        let states = self.states.borrow();
        let components =
            states.iter().map(|(name, reason)| ComponentReport { name: name.clone(), reason: reason.clone() });
        Report { ready: all_ready(&states), components: components.collect() }
    }

    /// Whether all components are ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        all_ready(&self.states.borrow())
    }

    /// Until all components are ready. Cancel safe.
    pub async fn ready(&self) {
        let mut changes = self.states.subscribe();
        changes.wait_for(all_ready).await.expect("the sender is ours");
    }
}

fn all_ready(states: &States) -> bool {
    states.values().all(Option::is_none)
}

/// A component's way to say how it is. Dropped, it is not ready: "stopped".
#[derive(Debug)]
pub struct Component {
    name: String,
    states: Arc<watch::Sender<States>>,
}

impl Component {
    /// It can do its work.
    pub fn ready(&self) {
        self.set(None);
    }

    /// It cannot, because.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, reason: Option<String>) {
        self.states.send_if_modified(|states| {
            let changed = states.get(&self.name) != Some(&reason);
            if changed {
                states.insert(self.name.clone(), reason);
            }
            changed
        });
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.not_ready("stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn ready_when_all_are_and_says_why_not() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let (store, queue) = (readiness.component("store"), readiness.component("queue"));
        store.ready();
        queue.not_ready("connection refused");
        let expected = [("queue", Some("connection refused")), ("store", None)]
            .map(|(name, reason)| ComponentReport { name: name.to_owned(), reason: reason.map(str::to_owned) });
        assert_eq!(readiness.report(), Report { ready: false, components: expected.to_vec() });

        let mut waiting = Box::pin(readiness.ready());
        assert!((&mut waiting).now_or_never().is_none());
        queue.ready();
        waiting.await;
    }

    #[test]
    fn a_component_that_is_gone_is_not_ready() {
        let readiness = Readiness::new();
        let store = readiness.component("store");
        store.ready();
        assert!(readiness.is_ready());
        drop(store);
        assert_eq!(readiness.report().components[0].reason.as_deref(), Some("stopped"));
    }
}
