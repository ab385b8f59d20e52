//! Puts steps into an order in which each stands behind all that it needs, and otherwise as the file has them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// `needs[i]` are the indices that `i` needs. Of those that could stand next, the first of the file does. `None` if there is a cycle.
pub fn topological(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (at, its) in needs.iter().enumerate() {
        for need in its {
            needed_by.get_mut(*need)?.push(at);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..needs.len()).filter(|at| waiting[*at] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for next in &needed_by[at] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.push(Reverse(*next));
            }
        }
    }
    (order.len() == needs.len()).then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_file_is_kept_where_it_can_be() {
        assert_eq!(topological(&[vec![], vec![], vec![]]), Some(vec![0, 1, 2]));
        assert_eq!(topological(&[vec![2], vec![], vec![]]), Some(vec![1, 2, 0]));
        assert_eq!(topological(&[vec![1], vec![0]]), None);
        assert_eq!(topological(&[vec![7]]), None);
        assert_eq!(topological(&[]), Some(vec![]));
    }
}
