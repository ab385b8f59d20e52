//! Stories over the real parts, each in a folder of its own.

#[path = "../support/packages.rs"]
mod packages;
#[path = "../support/stage.rs"]
mod stage;

mod clients;
mod gateway;
mod hostile;
mod serve;
