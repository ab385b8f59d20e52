use super::args::{Global, RolloutArguments};
use super::exit::Exit;

pub fn run(_global: &Global, _arguments: &RolloutArguments) -> Exit {
    Exit::Infrastructure
}
