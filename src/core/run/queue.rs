//! Who is next: first come first served, as far as each step's own `concurrency` lets it.
//!
//! One lane a step. A lane that is full hides its nodes, however many they are, behind one entry that is not there: finding the next node never looks
//! past those who may not start.

use std::collections::BTreeSet;
use std::ops::Bound;

/// Tickets are drawn in the order of queueing. Knows nothing of the limit over the whole run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Queue {
    lane_of: Vec<usize>,
    lanes: Vec<Lane>,
    /// The first ticket of every lane that has somebody waiting and room.
    heads: BTreeSet<(u64, usize)>,
    /// The ticket that each node holds.
    tickets: Vec<Option<u64>>,
    drawn: u64,
}

/// A place among those who may start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head((u64, usize));

#[derive(Debug, Clone, PartialEq)]
struct Lane {
    limit: Option<u32>,
    running: u32,
    waiting: BTreeSet<(u64, usize)>,
    /// What of this lane stands in `heads`.
    head: Option<u64>,
}

impl Lane {
    fn has_room(&self) -> bool {
        // A limit of none at all would never let the run end.
        self.limit.is_none_or(|limit| self.running < limit.max(1))
    }
}

impl Queue {
    pub fn new(lane_of: Vec<usize>, limits: Vec<Option<u32>>) -> Self {
        let tickets = vec![None; lane_of.len()];
        let lanes = limits.into_iter().map(|limit| Lane { limit, running: 0, waiting: BTreeSet::new(), head: None }).collect();
        Self { lane_of, lanes, heads: BTreeSet::new(), tickets, drawn: 0 }
    }

    /// The node that has waited longest among those that may start, and its place; `past` those up to a place, whose lanes were asked in vain.
    pub fn first(&self, past: Option<Head>) -> Option<(Head, usize)> {
        let from = past.map_or(Bound::Unbounded, |head| Bound::Excluded(head.0));
        let head = self.heads.range((from, Bound::Unbounded)).next()?;
        self.lanes[head.1].waiting.first().map(|(_, node)| (Head(*head), *node))
    }

    pub fn join(&mut self, node: usize) {
        self.drawn += 1;
        self.tickets[node] = Some(self.drawn);
        self.lanes[self.lane_of[node]].waiting.insert((self.drawn, node));
        self.refresh(self.lane_of[node]);
    }

    /// Leaves without starting.
    pub fn leave(&mut self, node: usize) {
        if let Some(ticket) = self.tickets[node].take() {
            self.lanes[self.lane_of[node]].waiting.remove(&(ticket, node));
            self.refresh(self.lane_of[node]);
        }
    }

    pub fn start(&mut self, node: usize) {
        self.lanes[self.lane_of[node]].running += 1;
        self.leave(node);
    }

    pub fn end(&mut self, node: usize) {
        let lane = &mut self.lanes[self.lane_of[node]];
        lane.running = lane.running.saturating_sub(1);
        self.refresh(self.lane_of[node]);
    }

    /// Makes `heads` say the truth about one lane again.
    fn refresh(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        let head = if lane.has_room() { lane.waiting.first().map(|(ticket, _)| *ticket) } else { None };
        if lane.head != head {
            if let Some(old) = lane.head {
                self.heads.remove(&(old, at));
            }
            if let Some(new) = head {
                self.heads.insert((new, at));
            }
            lane.head = head;
        }
    }
}
