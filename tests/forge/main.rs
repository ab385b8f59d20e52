//! What Tidegate says to GitHub: against a small GitHub that remembers, and against GitHub's own description of its API.

#[path = "../support/github.rs"]
mod github;

mod client;
mod deploys;
mod described;
mod fake;
mod faults;
mod house;
mod kill;
mod stories;
