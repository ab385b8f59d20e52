//! Arguments → `cli::run` → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::cli::run()
}
