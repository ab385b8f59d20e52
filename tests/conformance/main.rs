//! The same stories over every implementation of a seam.

#[path = "../support/engines.rs"]
mod engines;
#[path = "../support/packages.rs"]
mod packages;

mod containers;
mod executor;
mod journal;
mod provider;
