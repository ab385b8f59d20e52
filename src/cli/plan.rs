//! `tidegate plan`: what would run and why. Changes nothing.

use std::io::Write as _;

use anstream::{eprint, eprintln, stdout};

use super::args::{EventArguments, Global, PlanArguments};
use super::exit::Exit;
use super::pipeline::{self, Loaded};
use crate::core::{plan, spec};
use crate::model::event::{Event, EventKind};
use crate::model::id::CommitId;
use crate::report;

pub fn run(global: &Global, arguments: &PlanArguments) -> Exit {
    let Some(loaded) = pipeline::load_or_say(global, arguments.file.as_ref()) else { return Exit::Usage };
    let event = match event(global, &arguments.event) {
        Ok(event) => event,
        Err(message) => {
            eprintln!("error: {message}");
            return Exit::Usage;
        }
    };
    show(global, &loaded, &event, &arguments.event.steps)
}

fn show(global: &Global, loaded: &Loaded, event: &Event, steps: &[String]) -> Exit {
    let look = pipeline::look(global);
    if let plan::Selection::Not { because } = plan::select(&loaded.pipeline, event) {
        eprintln!("{}: a {} does not start this pipeline: {because}", loaded.file, event.kind.word());
        return Exit::Success;
    }
    let plan = match plan::build(&loaded.pipeline, event, steps) {
        Ok(plan) => plan,
        Err(errors) => {
            eprint!("{}", report::diagnostics::render(&loaded.file, &loaded.text, &errors, look));
            return Exit::Usage;
        }
    };
    let output = if global.json { serde_json::to_string_pretty(&plan).map(|text| text + "\n") } else { Ok(report::plan::render(&plan, look)) };
    let notes = spec::unsupported(&loaded.pipeline);
    if !notes.is_empty() {
        eprint!("{}", report::diagnostics::render(&loaded.file, &loaded.text, &notes, look));
    }
    match output.map(|text| write!(stdout(), "{text}")) {
        Ok(Ok(())) => Exit::Success,
        _ => Exit::Infrastructure,
    }
}

/// The event that the command line describes. What the repository knows (commit, branch, subject, author, changed paths) is not read here.
fn event(global: &Global, arguments: &EventArguments) -> Result<Event, String> {
    let kind: EventKind = pipeline::kind(arguments.on);
    let folder = pipeline::folder(global);
    let repository = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())).unwrap_or_default();
    Ok(Event {
        kind,
        repository,
        reference: String::new(),
        branch: None,
        commit: CommitId::new("0".repeat(40)),
        subject: String::new(),
        author: String::new(),
        changed: None,
        params: pipeline::params(arguments)?,
    })
}
