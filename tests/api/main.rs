//! The HTTP API through real sockets: who may what, what is answered, and what does not work.

#[path = "../support/past.rs"]
mod past;

mod attacks;
mod bench;
mod described;
mod live;
mod observed;
mod people;
mod reading;
mod remote;
mod scopes;
