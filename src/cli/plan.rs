//! `tidegate plan`: what `tidegate run` would do with the same arguments, and why. Changes nothing.

use super::args::{Global, PlanArguments};
use super::exit::Exit;
use super::here::Here;
use super::pipeline::{self, Loaded};
use super::print::{eprint, eprintln, print};
use super::session::fail;
use super::workflow::Workflow;
use crate::core::{plan, spec, trust};
use crate::model::event::Event;
use crate::model::policy::Policy;
use crate::report;

pub fn run(global: &Global, arguments: &PlanArguments) -> Exit {
    let here = match Here::discover(global, arguments.event.worktree) {
        Ok(here) => here,
        Err(error) => return fail(Exit::Usage, error),
    };
    let Some(loaded) = here.load(global, arguments.file.as_ref(), &mut Workflow::default()) else { return Exit::Usage };
    let event = match here.event(&arguments.event) {
        Ok(event) => event,
        Err(message) => return fail(Exit::Usage, message),
    };
    if !global.json {
        match here.difference("planning") {
            Ok(Some(note)) => eprintln!("note: {note}"),
            Ok(None) => {}
            Err(error) => return fail(Exit::Infrastructure, error),
        }
    }
    show(global, &loaded, &event, &arguments.event.steps, &here.policy())
}

fn show(global: &Global, loaded: &Loaded, event: &Event, steps: &[String], policy: &Policy) -> Exit {
    let look = pipeline::look(global);
    if let plan::Selection::Not { because } = plan::select(&loaded.pipeline, event) {
        eprintln!("{}: a {} does not start this pipeline: {because}", loaded.file, event.kind.word());
        return Exit::Success;
    }
    let plan = match plan::build(&loaded.pipeline, event, steps) {
        Ok(plan) => trust::guard(plan, policy),
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
    match output {
        Ok(text) => print!("{text}"),
        Err(error) => return fail(Exit::Infrastructure, error),
    }
    Exit::Success
}
