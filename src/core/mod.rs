//! Floor 1: decisions. Pure, synchronous and total.
//!
//! `run → plan → spec → template` · `rollout → judge` · `check → spec` · `trust → plan` · `findings` · `admission`. Knows nothing of async, files, clocks, randomness, or of any adapter.

pub mod admission;
pub mod check;
pub mod findings;
pub mod judge;
pub mod plan;
pub mod queue;
pub mod rollout;
pub mod run;
pub mod schedule;
pub mod spec;
pub mod template;
pub mod trust;
pub mod turn;
pub mod usage;
