//! A small cache: what was used longest ago goes first, once the total cost is over its budget.

use std::collections::BTreeMap;

/// A cache bounded by cost. Looking for the victim is linear: meant for some hundreds of entries.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    entries: BTreeMap<K, Entry<V>>,
    budget: usize,
    used: usize,
    tick: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    cost: usize,
    tick: u64,
}

impl<K: Ord + Copy, V: Clone> Lru<K, V> {
    pub(crate) fn new(budget: usize) -> Self {
        Self { entries: BTreeMap::new(), budget, used: 0, tick: 0 }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        self.tick += 1;
        let entry = self.entries.get_mut(key)?;
        entry.tick = self.tick;
        Some(entry.value.clone())
    }

    /// Keeps a value, unless it alone is over the budget.
    pub(crate) fn put(&mut self, key: K, value: V, cost: usize) {
        if cost > self.budget {
            return;
        }
        self.tick += 1;
        self.remove(&key);
        while self.used + cost > self.budget {
            let oldest = self.entries.iter().min_by_key(|(_, e)| e.tick).map(|(k, _)| *k);
            self.remove(&oldest.expect("something has the cost that is used"));
        }
        self.used += cost;
        self.entries.insert(key, Entry { value, cost, tick: self.tick });
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.used -= entry.cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_unused_goes_first() {
        let mut cache = Lru::new(2);
        cache.put(1, 'a', 1);
        cache.put(2, 'b', 1);
        assert_eq!(cache.get(&1), Some('a'));
        cache.put(3, 'c', 1);
        assert_eq!((cache.get(&1), cache.get(&2), cache.get(&3)), (Some('a'), None, Some('c')));
        cache.put(4, 'd', 3);
        assert_eq!(cache.get(&4), None, "larger than the whole budget");
        assert_eq!(cache.get(&1), Some('a'));
    }

    proptest! {
        #[test]
        fn never_over_its_budget(puts in prop::collection::vec((0_u8..20, 0_usize..9), 0..200)) {
            let mut cache = Lru::new(16);
            for (key, cost) in puts {
                cache.put(key, (), cost);
                let total: usize = cache.entries.values().map(|e| e.cost).sum();
                prop_assert_eq!(total, cache.used);
                prop_assert!(total <= 16);
            }
        }
    }
}
