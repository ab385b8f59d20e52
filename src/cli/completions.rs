//! `tidegate completions SHELL`.

use std::io::Write as _;

use clap::CommandFactory as _;

use super::args::{Arguments, CompletionsArguments};
use super::exit::Exit;

pub fn run(arguments: &CompletionsArguments) -> Exit {
    // Written as a whole: the generator panics when its reader goes away.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "tidegate", &mut script);
    let _ = std::io::stdout().write_all(&script);
    Exit::Success
}
