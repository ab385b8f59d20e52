//! From values to a pipeline: what names mean, what belongs together, what stands for what is left out.
//!
//! Goes on after an error as well as it can, so that all of a file's errors are said at once; its result counts only if there was none.

mod build;
mod cursor;
mod cycles;
mod functions;
mod routes;
mod scope;
mod services;
mod steps;
mod texts;
mod triggers;

use std::collections::HashMap;

use serde_yaml::Value;

use super::fields;
use super::pipeline::{ConcurrencySource, Pipeline, StepWork};
use super::places::{Part, Places};
use super::problems::Problems;
use super::route::Route;
use crate::model::request::Waiting;
pub use cursor::Cursor;
use scope::{Needed, Scope};
pub use steps::MAX_MATRIX;
pub use texts::{env, script};
pub use triggers::parameter;

/// A scope in which only an action's inputs have a meaning.
pub fn action_scope<'a>(inputs: Vec<&'a str>) -> Scope<'a> {
    Scope { inputs: Some(inputs), ..Scope::default() }
}

pub fn lower(file: &str, value: &Value, places: &Places, actions: &dyn Fn(&str) -> Option<String>, problems: &mut Problems<'_>) -> Pipeline {
    let root = Cursor::root(value, places);
    let on = triggers::lower(root.key("on").as_ref(), problems);
    let step_entries = root.entries_at("steps");
    let function_entries = root.entries_at("functions");
    let function_names: Vec<&str> = function_entries.iter().map(|(name, _)| name.as_str()).collect();
    let step_names: Vec<&str> = step_entries.iter().map(|(name, _)| name.as_str()).collect();
    let needed: HashMap<String, Needed> =
        step_entries.iter().map(|(name, step)| (name.clone(), Needed { many: step.key("matrix").is_some() })).collect();

    let params: Vec<&str> = on.params.iter().map(|param| param.name.as_str()).collect();
    let outer = Scope { params, all_steps: step_names.clone(), ..Scope::default() };
    let env = texts::env(root.key("env").as_ref(), &outer, problems);
    let scope = Scope { env: Some(env.keys().map(String::as_str).collect()), ..outer };
    let concurrency = root.key("concurrency").and_then(|concurrency| {
        Some(ConcurrencySource {
            group: texts::template(&concurrency.key("group")?, &scope, problems),
            supersede: concurrency.flag("supersede").unwrap_or(false),
            queue: if concurrency.text_at("queue").as_deref() == Some("all") { Waiting::All } else { Waiting::Latest },
        })
    });

    let defaults = steps::defaults(root.key("defaults").as_ref(), problems);
    let functions: Vec<_> =
        function_entries.iter().map(|(name, cursor)| functions::lower(name.clone(), cursor, &scope, &step_names, problems)).collect();
    let shared = steps::Shared { scope: scope.clone(), steps: &needed, functions: &function_names, defaults, actions };
    let steps: Vec<_> = step_entries.iter().map(|(name, cursor)| steps::lower(name.clone(), cursor, &shared, problems)).collect();
    routes::check(&root, &function_names, &step_names, problems);
    cycles::report(&steps, places, problems);
    let pipeline = Pipeline {
        file: file.to_owned(),
        name: root.text_at("name").unwrap_or_default(),
        on,
        concurrency,
        priority: root.parse("priority", fields::parse_priority).unwrap_or(0),
        env: env.clone(),
        steps,
        functions,
        unsupported: Vec::new(),
        places: places.clone(),
    };
    artifacts_exist(&pipeline, problems);
    pipeline
}

/// Looked at last: an action's outputs are only known once it was read.
fn artifacts_exist(pipeline: &Pipeline, problems: &mut Problems<'_>) {
    let index: HashMap<&str, usize> = pipeline.steps.iter().enumerate().map(|(index, step)| (step.name.as_str(), index)).collect();
    for step in &pipeline.steps {
        let StepWork::Deploy { step: from, output, .. } = &step.work else { continue };
        let Some(source) = index.get(from.as_str()).and_then(|index| pipeline.steps.get(*index)) else { continue };
        if step.needs.contains(from) && source.output(output).is_none() {
            let route = Route::root().key("steps").key(&step.name).key("deploy").key("artifact");
            problems.error(
                "unknown-output",
                &route,
                Part::Value,
                format!("{from:?} declares no output {output:?}"),
                "expected an output of that step",
            );
            problems.suggest(output, source.outputs.iter().map(|output| output.name.as_str()));
            if source.outputs.is_empty() {
                problems.hint(format!("add outputs: {{ {output}: PATH }} to {from}"));
            }
        }
    }
}
