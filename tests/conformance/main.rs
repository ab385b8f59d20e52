//! The same promises, held by every implementation.

#[path = "../support/packages.rs"]
mod packages;

mod provider;
