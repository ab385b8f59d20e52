//! What a step may reach: the rules that a person writes, how they are held against what is asked for, and the record of every attempt.
//!
//! Addresses are plain data here (`core::net`): nothing in this folder opens a socket or looks up a name.

mod address;
mod host;
mod policy;
mod record;
mod rule;

pub use address::{Kind, kind};
pub use host::Host;
pub use policy::{Blocked, Policy};
pub use record::{Attempt, Egress, Verdict};
pub use rule::Rule;

#[cfg(test)]
mod tests;
