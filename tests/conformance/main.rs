//! The same stories over every implementation of a seam.

#[path = "../support/packages.rs"]
mod packages;

mod executor;
mod journal;
mod provider;
