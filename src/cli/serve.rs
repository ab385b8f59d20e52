use super::args::{Global, ServeArguments};
use super::exit::Exit;

pub fn run(_global: &Global, _arguments: &ServeArguments) -> Exit {
    Exit::Infrastructure
}
