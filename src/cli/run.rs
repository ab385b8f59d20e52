use super::args::{Global, RunArguments};
use super::exit::Exit;

pub fn run(_global: &Global, _arguments: &RunArguments) -> Exit {
    Exit::Infrastructure
}
