//! The HTTP API through real sockets: who may what, what is answered, and what does not work.

#[path = "../support/past.rs"]
mod past;

mod bench;
mod reading;
mod scopes;
