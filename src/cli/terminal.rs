//! What the terminal is like: whether there is one, how wide it is, whether it wants colours.

use std::io::IsTerminal as _;

use super::args::{Color, Global};
use crate::report::{rollout, run};

/// Columns where there is no terminal: logs are read in editors and on web pages.
const PIPE_WIDTH: usize = 100;

/// Whether standard output gets colours: by `--color`, else by NO_COLOR, CLICOLOR and whether it is a terminal.
pub fn colour(global: &Global) -> bool {
    match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never,
    }
}

/// Whether lines can be drawn again in place.
pub fn is_live(global: &Global) -> bool {
    !global.json && std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

pub fn run_look(global: &Global) -> run::look::Look {
    let (width, height) = size();
    run::look::Look { colour: colour(global), width, height, utc_offset: 0 }
}

pub fn rollout_look(global: &Global) -> rollout::Look {
    rollout::Look { width: size().0, colour: colour(global) }
}

fn size() -> (usize, usize) {
    if !std::io::stdout().is_terminal() {
        return (PIPE_WIDTH, usize::MAX);
    }
    terminal_size::terminal_size().map_or((80, 24), |(width, height)| (usize::from(width.0).max(20), usize::from(height.0).max(5)))
}
