use super::args::{Global, ScanArguments};
use super::exit::Exit;

pub fn run(_global: &Global, _arguments: &ScanArguments) -> Exit {
    Exit::Infrastructure
}
