//! GitHub's webhooks over real HTTP: everything that GitHub sends, and everything that others might.

#[path = "../support/mod.rs"]
mod support;

mod client;
mod command;
mod examples;
mod kill;
mod mutations;
mod octokit;
mod overload;
mod readers;
mod refusals;
mod server;
mod twice;
