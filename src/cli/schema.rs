//! `tidegate schema`.

use std::io::Write as _;

use super::exit::Exit;

pub fn run() -> Exit {
    let schema = crate::core::spec::json_schema();
    let written = serde_json::to_string_pretty(&schema).map(|text| writeln!(std::io::stdout(), "{text}"));
    match written {
        Ok(_) => Exit::Success,
        Err(_) => Exit::Infrastructure,
    }
}
