//! The GitHub Action as a runner executes it: `act` runs real workflows that use it, on real repositories; linters look at it; and whoever may write a branch, a title,
//! an input or what a step prints tries to be obeyed.

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod install;
mod lint;
mod release;
mod rig;
mod runs;
mod tag;
mod trigger;
