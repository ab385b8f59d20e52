//! `tidegate doctor`: what this machine can isolate, what steps will find in the sandbox, and what to do about what is missing.
//!
//! Succeeds when steps can be run with full isolation; everything else is advice.

mod checks;
mod show;
mod walls;

use super::args::Global;
use super::exit::Exit;
use super::print::print;
use super::terminal;

use checks::State;

pub fn run(global: &Global) -> Exit {
    let checks = checks::all(global);
    let text = if global.json { show::json(&checks) } else { show::text(&checks, terminal::run_look().width) };
    print!("{text}");
    if checks.iter().any(|check| check.state == State::Missing) { Exit::Infrastructure } else { Exit::Success }
}
