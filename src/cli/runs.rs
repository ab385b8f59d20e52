use super::args::{Global, RunsArguments};
use super::exit::Exit;

pub fn run(_global: &Global, _arguments: &RunsArguments) -> Exit {
    Exit::Infrastructure
}
