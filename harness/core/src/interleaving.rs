//! All orders in which the steps of several requests can follow one another.
//!
//! Each request's own steps keep their order; between requests everything is possible. For requests of
//! `a` and `b` steps these are `(a + b)! / (a! b!)` orders.

use crate::Seed;
use rand::seq::SliceRandom;
use std::collections::BTreeSet;

/// One order: which request makes the next step, by its index.
pub type Order = Vec<usize>;

/// Some or all orders of requests with known numbers of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// Those chosen, each once, in lexicographic order.
    pub chosen: Vec<Order>,
    /// How many there are; `u128::MAX` if they cannot be counted in it.
    pub total: u128,
}

impl Orders {
    /// All orders, or `limit` of them: then those in which each request runs alone (first to last, and
    /// last to first) and others that the seed picks.
    #[must_use]
    pub fn of(steps: &[usize], limit: usize, seed: Seed) -> Self {
        let total = count(steps);
        let first: Order = (0..steps.len())
            .flat_map(|request| std::iter::repeat_n(request, steps[request]))
            .collect();
        let chosen = if total <= limit as u128 {
            all(first)
        } else {
            some(&first, limit, seed)
        };
        Self { chosen, total }
    }
}

/// The multinomial coefficient, as a product of binomial ones, each of which is exact.
fn count(steps: &[usize]) -> u128 {
    let (mut total, mut sum) = (1_u128, 0_u128);
    for &own in steps {
        for step in 1..=own as u128 {
            sum += 1;
            total = match total.checked_mul(sum) {
                Some(product) => product / step,
                None => return u128::MAX,
            };
        }
    }
    total
}

/// Each order is the lexicographic successor of the one before it.
fn all(first: Order) -> Vec<Order> {
    let mut orders = vec![first];
    while let Some(next) = orders.last().and_then(successor) {
        orders.push(next);
    }
    orders
}

fn successor(order: &Order) -> Option<Order> {
    let pivot = (1..order.len()).rev().find(|&i| order[i - 1] < order[i])? - 1;
    let swap = (pivot + 1..order.len())
        .rev()
        .find(|&i| order[i] > order[pivot])?;
    let mut next = order.clone();
    next.swap(pivot, swap);
    next[pivot + 1..].reverse();
    Some(next)
}

fn some(first: &Order, limit: usize, seed: Seed) -> Vec<Order> {
    let mut rng = seed.rng();
    let backwards = first.iter().rev().copied().collect();
    let mut chosen = BTreeSet::from([first.clone(), backwards]);
    // There are more orders than are asked for, so that this ends.
    while chosen.len() < limit.max(1) {
        let mut order = first.clone();
        order.shuffle(&mut rng);
        chosen.insert(order);
    }
    chosen.into_iter().take(limit.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_and_one_steps_have_three_orders() {
        let orders = Orders::of(&[2, 1], 100, Seed(1));
        assert_eq!(orders.total, 3);
        assert_eq!(orders.chosen, [[0, 0, 1], [0, 1, 0], [1, 0, 0]]);
    }

    #[test]
    fn no_steps_have_one_order() {
        assert_eq!(Orders::of(&[0, 0], 9, Seed(1)).chosen, [Order::new()]);
    }

    #[test]
    fn more_than_can_be_counted_is_said_to_be_more() {
        assert_eq!(Orders::of(&[99, 99, 99], 5, Seed(1)).total, u128::MAX);
    }

    proptest! {
        #[test]
        fn chosen_orders_differ_keep_the_steps_and_repeat_from_the_seed(
            steps in prop::collection::vec(0_usize..5, 1..4),
            limit in 1_usize..40,
            seed: u64,
        ) {
            let orders = Orders::of(&steps, limit, Seed(seed));
            let wanted = usize::try_from(orders.total.min(limit as u128)).expect("at most the limit");
            prop_assert_eq!(orders.chosen.len(), wanted);
            let distinct: BTreeSet<_> = orders.chosen.iter().collect();
            prop_assert_eq!(distinct.len(), wanted);
            for order in &orders.chosen {
                for (request, own) in steps.iter().enumerate() {
                    prop_assert_eq!(order.iter().filter(|step| **step == request).count(), *own);
                }
            }
            prop_assert_eq!(&orders, &Orders::of(&steps, limit, Seed(seed)));
        }
    }
}
