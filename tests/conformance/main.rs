//! The same stories over every implementation of a seam.

#[path = "../support/packages.rs"]
mod packages;
#[path = "../support/users.rs"]
mod users;

mod executor;
mod image;
mod journal;
mod provider;
