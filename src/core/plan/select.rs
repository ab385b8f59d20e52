//! Whether an event starts a pipeline, and with which parameters.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSetBuilder};

use crate::core::spec::{Part, Pipeline, Route, nearest};
use crate::model::diagnostic::{Diagnostic, Level};
use crate::model::event::{Event, EventKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    Starts,
    /// One sentence.
    Not {
        because: String,
    },
}

/// A person may start any pipeline; everything else must be asked for in `on`.
pub fn select(pipeline: &Pipeline, event: &Event) -> Selection {
    let not = |because: String| Selection::Not { because };
    let on = &pipeline.on;
    match event.kind {
        EventKind::Manual => Selection::Starts,
        EventKind::Schedule if on.schedule.is_empty() => not("on has no schedule".into()),
        EventKind::Schedule => Selection::Starts,
        EventKind::Push => {
            let Some(filter) = &on.push else { return not("on has no push".into()) };
            if let Some(tag) = event.reference.strip_prefix("refs/tags/") {
                return match &filter.tags {
                    Some(tags) if matches(tags, tag) => changed(filter.paths.as_ref(), event),
                    Some(_) => not(format!("the tag {tag:?} matches none of on.push.tags")),
                    None => not("on.push has no tags".into()),
                };
            }
            // Who filters only by tags wants no branches.
            if filter.tags.is_some() && filter.branches.is_none() {
                return not("on.push has only tags".into());
            }
            branch(filter.branches.as_ref(), event, "push").unwrap_or_else(|| changed(filter.paths.as_ref(), event))
        }
        EventKind::PullRequest => {
            let Some(filter) = &on.pull_request else { return not("on has no pull_request".into()) };
            let usual = || ["opened", "synchronize", "reopened"].map(str::to_owned).to_vec();
            action(&filter.types.clone().unwrap_or_else(usual), event)
                .or_else(|| branch(filter.branches.as_ref(), event, "pull_request"))
                .unwrap_or_else(|| changed(filter.paths.as_ref(), event))
        }
        EventKind::Release => match &on.release {
            None => not("on has no release".into()),
            Some(types) => action(&types.clone().unwrap_or_else(|| vec!["published".to_owned()]), event).unwrap_or(Selection::Starts),
        },
        EventKind::MergeGroup => match &on.merge_group {
            None => not("on has no merge_group".into()),
            Some(branches) => branch(branches.as_ref(), event, "merge_group").unwrap_or(Selection::Starts),
        },
        EventKind::Deployment => match &on.deployment {
            None => not("on has no deployment".into()),
            Some(Some(environments)) if !matches(environments, event.context.environment.as_deref().unwrap_or_default()) => not(format!(
                "the environment {:?} matches none of on.deployment.environments",
                event.context.environment.as_deref().unwrap_or_default()
            )),
            Some(_) => Selection::Starts,
        },
        EventKind::RepositoryDispatch => match &on.repository_dispatch {
            None => not("on has no repository_dispatch".into()),
            Some(types) => types.as_ref().and_then(|types| action(types, event)).unwrap_or(Selection::Starts),
        },
    }
}

/// `None` if what happened is wanted. Who does not say what happened means the usual.
fn action(wanted: &[String], event: &Event) -> Option<Selection> {
    let happened = event.context.action.as_ref()?;
    (!wanted.contains(happened)).then(|| Selection::Not { because: format!("{happened} is none of on.{}.types", event.kind.word()) })
}

/// `None` if the branch is right.
fn branch(patterns: Option<&Vec<String>>, event: &Event, kind: &str) -> Option<Selection> {
    let patterns = patterns?;
    let branch = event.branch.as_deref().unwrap_or_default();
    (!matches(patterns, branch)).then(|| Selection::Not { because: format!("the branch {branch:?} matches none of on.{kind}.branches") })
}

/// Where nobody knows what changed, everything may have.
fn changed(patterns: Option<&Vec<String>>, event: &Event) -> Selection {
    match (patterns, &event.changed) {
        (Some(patterns), Some(changed)) if !changed.iter().any(|path| matches(patterns, path)) => {
            Selection::Not { because: format!("none of the {} changed paths matches paths", changed.len()) }
        }
        _ => Selection::Starts,
    }
}

/// `*` stays within one part of a path, `**` does not.
fn matches(patterns: &[String], text: &str) -> bool {
    let mut set = GlobSetBuilder::new();
    for glob in patterns.iter().filter_map(|pattern| GlobBuilder::new(pattern).literal_separator(true).build().ok()) {
        set.add(glob);
    }
    set.build().is_ok_and(|set| set.is_match(text))
}

/// The value of every parameter: as given, else its default.
pub fn params(pipeline: &Pipeline, event: &Event) -> Result<BTreeMap<String, String>, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let mut values = BTreeMap::new();
    let all = Route::root().key("on").key("manual").key("params");
    for given in event.params.keys().filter(|given| !pipeline.on.params.iter().any(|param| param.name == **given)) {
        let mut diagnostic = pipeline.diagnostic(Level::Error, "unknown-param", &all, &Part::Key, format!("the pipeline has no parameter {given:?}"));
        let known: Vec<&str> = pipeline.on.params.iter().map(|param| param.name.as_str()).collect();
        diagnostic.hints.push(match nearest(given, known.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None if known.is_empty() => "it has none: they are declared under on.manual.params".to_owned(),
            None => format!("it has {}", known.join(", ")),
        });
        errors.push(diagnostic);
    }
    for param in &pipeline.on.params {
        let route = all.key(&param.name);
        match event.params.get(&param.name) {
            Some(value) => {
                if let Err(why) = param.accept(value) {
                    errors.push(pipeline.diagnostic(
                        Level::Error,
                        "invalid-param",
                        &route,
                        &Part::Key,
                        format!("the parameter {:?} does not fit: {why}", param.name),
                    ));
                }
                values.insert(param.name.clone(), value.clone());
            }
            None => match param.fallback() {
                Some(value) => {
                    values.insert(param.name.clone(), value);
                }
                None => {
                    let mut diagnostic = pipeline.diagnostic(
                        Level::Error,
                        "missing-param",
                        &route,
                        &Part::Key,
                        format!("the parameter {:?} must be given", param.name),
                    );
                    diagnostic.hints.push(format!("add --param {}=VALUE", param.name));
                    errors.push(diagnostic);
                }
            },
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}
