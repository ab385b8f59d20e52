//! `tidegate completions SHELL`.

use clap::CommandFactory as _;

use super::args::{Arguments, CompletionsArguments};
use super::exit::Exit;

pub fn run(arguments: &CompletionsArguments) -> Exit {
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "tidegate", &mut std::io::stdout());
    Exit::Success
}
