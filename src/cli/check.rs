//! `tidegate check`: errors, findings and what is not supported yet.

use std::path::Path;

use super::args::{CheckArguments, CheckFormat, Global};
use super::exit::Exit;
use super::pipeline;
use super::print::{eprintln, print};
use crate::core::{check, spec};
use crate::model;
use crate::model::diagnostic::{Diagnostic, Level};
use crate::report::{diagnostics, diagnostics_data};

pub fn run(global: &Global, arguments: &CheckArguments) -> Exit {
    let files = if arguments.files.is_empty() { pipeline::all_files(global) } else { arguments.files.clone() };
    if files.is_empty() {
        eprintln!("error: there is no pipeline in .tidegate/: name a file, or write .tidegate/NAME.yaml");
        return Exit::Usage;
    }
    let mut results: Vec<(String, Vec<Diagnostic>)> = Vec::new();
    let mut texts = Vec::new();
    for path in &files {
        let (text, found) = match pipeline::load(global, path) {
            _ if is_policy(path) => policy(path),
            Err((text, errors)) => (text, errors),
            Ok(loaded) => {
                let mut found = check::run_all(&loaded.pipeline);
                found.extend(spec::unsupported(&loaded.pipeline));
                (loaded.text, found)
            }
        };
        texts.push(text);
        results.push((path.display().to_string(), found));
    }
    let format = if global.json { CheckFormat::Json } else { arguments.format };
    let output = match format {
        CheckFormat::Text => text(global, &results, &texts),
        CheckFormat::Json => format!("{:#}\n", diagnostics_data::json(&results)),
        CheckFormat::Sarif => format!("{:#}\n", diagnostics_data::sarif(&results, env!("CARGO_PKG_VERSION"))),
    };
    print!("{output}");
    let levels = || results.iter().flat_map(|(_, found)| found.iter().map(|diagnostic| diagnostic.level));
    match (levels().any(|level| level == Level::Error), levels().any(|level| level == Level::Warning)) {
        (true, _) => Exit::Usage,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Success,
    }
}

/// Whether it is what decides who may run what, and no pipeline.
fn is_policy(path: &Path) -> bool {
    let name = |path: Option<&std::ffi::OsStr>| path.and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    model::policy::is_policy(&name(path.file_name())) && name(path.parent().and_then(Path::file_name)) == ".tidegate"
}

fn policy(path: &Path) -> (String, Vec<Diagnostic>) {
    let text = match pipeline::read(path) {
        Ok(text) => text,
        Err(message) => return (String::new(), vec![pipeline::unreadable(message)]),
    };
    let mut found = spec::load_policy(&text).err().unwrap_or_default();
    if path.extension().is_some_and(|extension| extension != "yaml") {
        let mut elsewhere = pipeline::unreadable(format!("nobody reads this file: the policy is {}", model::policy::FILE));
        elsewhere.hints.push("rename it".to_owned());
        found.push(elsewhere);
    }
    (text, found)
}

fn text(global: &Global, results: &[(String, Vec<Diagnostic>)], texts: &[String]) -> String {
    let look = pipeline::look(global);
    let one = |((file, found), text): (&(String, Vec<Diagnostic>), &String)| {
        if found.is_empty() { format!("{file}: good\n") } else { diagnostics::render(file, text, found, look) }
    };
    results.iter().zip(texts).map(one).collect()
}
