use super::exit::Exit;

pub fn run() -> Exit {
    Exit::Infrastructure
}
