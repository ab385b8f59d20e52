//! What the terminal is like: whether there is one, how wide it is, whether it wants colours. The only place that asks.

use std::io::IsTerminal as _;

use anstream::{AutoStream, ColorChoice};

use super::args::{Color, Global};
use crate::report::{diagnostics, rollout, run};

/// Columns where there is no terminal: logs are read in editors and on web pages.
const PIPE_WIDTH: usize = 100;
/// Columns of tables where there is no terminal: programs read them, so nothing is cut.
const PIPE_TABLE_WIDTH: usize = 10_000;

/// Makes `--color` hold for everything that is printed. `auto`: by NO_COLOR, CLICOLOR, TERM and whether a stream is a terminal.
pub fn choose_colours(global: &Global) {
    match global.color {
        Color::Always => ColorChoice::Always.write_global(),
        Color::Never => ColorChoice::Never.write_global(),
        Color::Auto => {}
    }
}

/// Whether standard output gets colours.
pub fn colour() -> bool {
    AutoStream::choice(&std::io::stdout()) != ColorChoice::Never
}

/// Whether lines can be drawn again in place.
pub fn is_live(global: &Global) -> bool {
    !global.json && std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// As it is at this moment: people resize.
pub fn run_look() -> run::look::Look {
    let (width, height) = size();
    run::look::Look { colour: colour(), width, height, utc_offset: 0 }
}

pub fn rollout_look() -> rollout::Look {
    rollout::Look { width: size().0, colour: colour() }
}

/// Columns for tables, whose lines are cut rather than wrapped.
pub fn table_width() -> usize {
    if std::io::stdout().is_terminal() { size().0 } else { PIPE_TABLE_WIDTH }
}

/// For what may go to either stream: the streams themselves take out colours that do not belong there.
pub fn diagnostics_look(global: &Global) -> diagnostics::Look {
    let width = terminal_size::terminal_size_of(std::io::stdout()).or_else(|| terminal_size::terminal_size_of(std::io::stderr()));
    diagnostics::Look { color: global.color != Color::Never, width: width.map_or(PIPE_WIDTH, |(columns, _)| usize::from(columns.0)) }
}

fn size() -> (usize, usize) {
    if !std::io::stdout().is_terminal() {
        return (PIPE_WIDTH, usize::MAX);
    }
    terminal_size::terminal_size_of(std::io::stdout())
        .map_or((80, 24), |(width, height)| (usize::from(width.0).max(20), usize::from(height.0).max(5)))
}
