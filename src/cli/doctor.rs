use super::args::Global;
use super::exit::Exit;

pub fn run(_global: &Global) -> Exit {
    Exit::Infrastructure
}
