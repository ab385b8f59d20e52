//! The same stories over every implementation of a seam.

#[path = "../support/engines.rs"]
mod engines;
#[path = "../support/packages.rs"]
mod packages;
#[path = "../support/step.rs"]
mod step;
#[path = "../support/users.rs"]
mod users;

mod containers;
mod executor;
mod image;
mod journal;
mod provider;
mod services;
