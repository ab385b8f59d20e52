//! Who may run and deploy what, with the real program.

#[path = "../support/mod.rs"]
mod support;

mod environments;
