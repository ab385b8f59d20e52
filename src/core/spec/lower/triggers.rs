//! `on:` and the parameters that a person may give.

use super::super::pipeline::{Parameter, ParameterKind, PullRequestFilter, PushFilter, Triggers};
use super::super::places::Part;
use super::super::problems::Problems;
use super::cursor::Cursor;

pub fn lower(on: Option<&Cursor<'_>>, problems: &mut Problems<'_>) -> Triggers {
    let Some(on) = on else { return Triggers::default() };
    let push =
        on.key("push").map(|push| PushFilter { branches: push.texts_at("branches"), tags: push.texts_at("tags"), paths: push.texts_at("paths") });
    let pull_request = on.key("pull_request").map(|pull| PullRequestFilter {
        branches: pull.texts_at("branches"),
        paths: pull.texts_at("paths"),
        types: pull.texts_at("types"),
    });
    let release = on.key("release").map(|release| release.texts_at("types"));
    let merge_group = on.key("merge_group").map(|group| group.texts_at("branches"));
    let deployment = on.key("deployment").map(|deployment| deployment.texts_at("environments"));
    let repository_dispatch = on.key("repository_dispatch").map(|dispatch| dispatch.texts_at("types"));
    let schedule = on.texts_at("schedule").unwrap_or_default();
    let params = on.key("manual").map(|manual| manual.entries_at("params")).unwrap_or_default();
    let params = params.into_iter().map(|(name, param)| parameter(name, &param, problems)).collect();
    Triggers { push, pull_request, release, merge_group, deployment, repository_dispatch, schedule, params }
}

/// Of `on.manual.params`, or an input of an action.
pub fn parameter(name: String, cursor: &Cursor<'_>, problems: &mut Problems<'_>) -> Parameter {
    let kind = match cursor.text_at("type").as_deref() {
        Some("number") => ParameterKind::Number,
        Some("boolean") => ParameterKind::Boolean,
        _ => ParameterKind::Text,
    };
    let choices = cursor.texts_at("choices").unwrap_or_default();
    let parameter = Parameter { name, kind, choices, default: cursor.text_at("default"), required: cursor.flag("required").unwrap_or(false) };
    if let (Some(default), Some(at)) = (&parameter.default, cursor.key("default"))
        && let Err(why) = parameter.accept(default)
    {
        problems.error("invalid-value", &at.route, Part::Value, format!("the default does not fit: {why}"), "can never be used");
    }
    if let (true, Some(at)) = (parameter.required && parameter.default.is_some(), cursor.key("required")) {
        problems.error("conflicting-keys", &at.route, Part::Key, "what has a default need not be given", "leave out required or default");
    }
    if let (true, Some(at)) = (parameter.choices.is_empty(), cursor.key("choices")) {
        problems.error("invalid-value", &at.route, Part::Value, "there is no choice", "expected at least one");
    }
    parameter
}
