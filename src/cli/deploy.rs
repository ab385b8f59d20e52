use super::args::{DeployArguments, Global};
use super::exit::Exit;

pub fn run(_global: &Global, _arguments: &DeployArguments) -> Exit {
    Exit::Infrastructure
}
