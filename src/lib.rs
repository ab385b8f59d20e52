//! Tidegate: pipelines of ephemeral functions, and deploys that shift traffic gradually and roll back by themselves.
//!
//! The map of the house, its floors and invariants is docs/architecture.md; `tests/architecture.rs` holds the code to it.

pub mod adapters;
pub mod cli;
pub mod core;
pub mod model;
pub mod report;
pub mod runtime;
pub mod server;
