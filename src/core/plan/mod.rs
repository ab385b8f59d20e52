//! Pipeline × event → plan: matrix expanded, conditions on the event decided, a directed acyclic graph of nodes.
//!
//! ```text
//! Pipeline ─select─▶ does the event start it? ─params─▶ values ─order─▶ steps ─matrix─▶ nodes ─fill─▶ Plan
//! Plan ─evaluate─▶ does this node run, now that its needs have ended? ─resolve─▶ script and environment
//! ```
//! Linear in nodes and edges. Knows nothing of how a run goes on: it answers what it is asked about one node.

mod build;
mod evaluate;
mod fill;
mod graph;
mod matrix;
mod order;
mod select;

pub use build::{MAX_EDGES, MAX_NODES, build, function, group};
pub use evaluate::{Ended, EndedLookup, evaluate, holds, steps_context, steps_of};
pub use graph::*;
pub use select::{Selection, params, select};

#[cfg(test)]
mod tests;
