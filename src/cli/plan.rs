use super::args::{Global, PlanArguments};
use super::exit::Exit;

pub fn run(_global: &Global, _arguments: &PlanArguments) -> Exit {
    Exit::Infrastructure
}
