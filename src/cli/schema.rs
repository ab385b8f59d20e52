//! `tidegate schema`.

use std::io::Write as _;

use super::args::SchemaArguments;
use super::exit::Exit;
use crate::core::spec;

pub fn run(arguments: &SchemaArguments) -> Exit {
    let schema = if arguments.policy { spec::policy_schema() } else { spec::json_schema() };
    let written = serde_json::to_string_pretty(&schema).map(|text| writeln!(std::io::stdout(), "{text}"));
    match written {
        Ok(_) => Exit::Success,
        Err(_) => Exit::Infrastructure,
    }
}
