//! Stories over the real parts, each in a folder of its own.

#[path = "../support/functions.rs"]
mod functions;

mod gateway;
mod hostile;
