//! Bounds the work of an evaluation.
//!
//! The interpreter cannot be interrupted, but it asks for the value of every name. So each loop body
//! is made to read a name of its own (`@t1`, `@t2`, …); reading it costs what one pass may cost, and
//! when the budget is spent the name is no longer there and the evaluation ends. A pass costs its
//! nodes, and the size of each value from outside of the loop that it may copy or compare whole.

use cel::common::types::CelBool;
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one pass through a loop body costs; the first of an expression is for what is outside of all
/// loops, and is paid once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// Nodes of the syntax tree, and more for what is dear.
    pub(crate) units: u64,
    /// Values that may be walked whole, by their index among the expression's selectors.
    pub(crate) values: Vec<usize>,
}

/// The name that a loop body reads.
pub(crate) fn tick_name(cost: usize) -> String {
    format!("@t{cost}")
}

/// Hands out the ticks of one evaluation.
#[derive(Debug)]
pub(crate) struct Meter {
    prices: Vec<u64>,
    left: AtomicU64,
    spent: AtomicU64,
}

static YES: std::sync::LazyLock<CelBool> = std::sync::LazyLock::new(|| CelBool::from(true));

impl Meter {
    /// `sizes` of the values, by the index that costs name them with.
    pub(crate) fn new(costs: &[Cost], sizes: &[u64], budget: u64) -> Self {
        let price = |cost: &Cost| cost.units + cost.values.iter().map(|i| sizes[*i]).sum::<u64>();
        let meter =
            Self { prices: costs.iter().map(price).collect(), left: AtomicU64::new(budget), spent: AtomicU64::new(0) };
        meter.pay(0);
        meter
    }

    /// The budget did not suffice. A result must not be used then: it may have absorbed the error.
    pub(crate) fn exhausted(&self) -> bool {
        self.spent.load(Ordering::Relaxed) > 0
    }

    fn pay(&self, cost: usize) -> bool {
        let price = self.prices.get(cost).copied().unwrap_or(1);
        match self.left.load(Ordering::Relaxed).checked_sub(price) {
            Some(left) => self.left.store(left, Ordering::Relaxed),
            None => _ = self.spent.fetch_add(1, Ordering::Relaxed),
        }
        !self.exhausted()
    }
}

impl VariableResolver for Meter {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let cost = name.strip_prefix("@t")?.parse().ok()?;
        self.pay(cost).then(|| CowVal::Borrowed(&*YES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_until_the_budget_is_spent() {
        let costs = [Cost { units: 1, values: vec![] }, Cost { units: 2, values: vec![0] }];
        let meter = Meter::new(&costs, &[3], 11);
        assert!(meter.resolve("@t1").is_some() && meter.resolve("@t1").is_some());
        assert!(!meter.exhausted());
        assert!(meter.resolve("@t1").is_none() && meter.exhausted());
        assert!(meter.resolve("other").is_none());
    }
}
