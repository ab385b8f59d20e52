//! Stories over the real parts: what a person does with the binary, and what they see.

#[path = "../support/docker.rs"]
mod docker;
#[path = "../support/engines.rs"]
mod engines;
#[path = "../support/users.rs"]
mod ordinary;
#[path = "../support/packages.rs"]
mod packages;
#[path = "../support/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/terminal.rs"]
mod terminal;

mod again;
mod bad_input;
mod clients;
mod egress;
mod engine;
mod found;
mod gateway;
mod hostile;
mod kill;
mod outlive;
mod pipelines;
mod raw;
mod readme;
mod replay;
mod rerun;
mod rollout;
mod run;
mod serve;
mod settings;
mod story;
mod survivors;
mod users;
