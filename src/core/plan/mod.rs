//! Pipeline × event → plan: matrix expanded, conditions on the event decided, a directed acyclic graph of nodes.

mod graph;

pub use graph::*;
