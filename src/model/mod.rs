//! Floor 0: the words of Tidegate as plain data.
//!
//! Knows nothing of async, files, clocks, randomness, or of any floor above.

pub mod access;
pub mod artifact;
pub mod build;
pub mod check;
pub mod delivery;
pub mod deploy;
pub mod diagnostic;
pub mod egress;
pub mod event;
pub mod fact;
pub mod finding;
pub mod function;
pub mod id;
pub mod invocation;
pub mod limits;
pub mod number;
pub mod outcome;
pub mod policy;
pub mod release;
pub mod request;
pub mod secret;
pub mod service;
pub mod settings;
pub mod text;
pub mod time;
pub mod traffic;
pub mod trigger;
pub mod trust;
