//! A run for a GitHub workflow that runs it: [`command`]s for annotations, [`file`]s for outputs and the step's summary.
//!
//! The runner reads commands out of everything that a step prints, so everything from outside that is printed stands between [`command::stop`] and
//! [`command::resume`], whose token nobody else knows; and what stands in a command of ours is escaped.

pub mod command;
pub mod file;
mod told;

pub use told::{Told, of_diagnostics, of_run};
