//! The whole server: real webhooks over HTTP, real git as the remote, a small GitHub that remembers; and what people see in the end.

#[path = "../hooks/client.rs"]
#[allow(dead_code, reason = "the hooks' tests use more of it")]
mod client;
#[path = "../support/git_http.rs"]
mod git_http;
#[path = "../support/github.rs"]
mod github;
#[path = "../support/packs.rs"]
mod packs;
#[path = "../handover/process.rs"]
#[allow(dead_code, reason = "the tests of handovers use more of it")]
mod process;
#[path = "../support/mod.rs"]
mod support;

mod aftermath;
mod again;
mod alike;
mod attacks;
mod commands;
mod environments;
mod forks;
mod handover;
mod kill;
mod mirrors;
mod mistakes;
mod payloads;
mod pulls;
mod pushes;
mod queue;
mod rollouts;
mod rows;
mod schedule;
mod several;
mod signs;
#[allow(dead_code, reason = "the bench of the server uses more of it")]
mod town;
