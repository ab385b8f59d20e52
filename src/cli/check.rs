use super::args::{CheckArguments, Global};
use super::exit::Exit;

pub fn run(_global: &Global, _arguments: &CheckArguments) -> Exit {
    Exit::Infrastructure
}
