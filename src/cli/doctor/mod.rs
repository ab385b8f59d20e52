//! `tidegate doctor`: what this machine can isolate, what steps will find in the sandbox, and what to do about what is missing.
//!
//! Succeeds when steps can be run with full isolation; everything else is advice.

mod checks;
mod show;

use std::io::Write as _;

use super::args::{Color, Global};
use super::exit::Exit;

use checks::State;

pub fn run(global: &Global) -> Exit {
    let checks = checks::all(global.state_dir.as_deref());
    let choice = match global.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    let mut out = anstream::AutoStream::new(std::io::stdout(), choice);
    let text = if global.json { show::json(&checks) } else { show::text(&checks) };
    // A closed pipe is no reason for another exit code.
    let _ = out.write_all(text.as_bytes());
    if checks.iter().any(|check| check.state == State::Missing) { Exit::Infrastructure } else { Exit::Success }
}
