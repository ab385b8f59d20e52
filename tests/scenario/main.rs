//! Stories: what a person does with the binary, and what they see.

#[path = "../support/mod.rs"]
mod support;
