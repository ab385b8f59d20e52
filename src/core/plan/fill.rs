//! Everything that is known when the plan is made, as the names that expressions and conditions use.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::core::spec::{EnvSource, ParameterKind, Pipeline};
use crate::core::template::{Escape, Template, TemplateError};
use crate::model::event::Event;

/// Names of one plan, then of one node.
#[derive(Clone)]
pub struct Known {
    names: Json,
}

impl Known {
    pub fn of_event(pipeline: &Pipeline, event: &Event) -> Self {
        let params: Map<String, Json> =
            pipeline.on.params.iter().filter_map(|param| Some((param.name.clone(), typed(param.kind, event.params.get(&param.name)?)))).collect();
        let fields = json!({
            "kind": event.kind.word(),
            "ref": event.reference,
            "branch": event.branch.clone().unwrap_or_default(),
            "commit": event.commit.as_str(),
            "subject": event.subject,
            "author": event.author,
            "repository": event.repository,
            "action": event.context.action.as_deref().unwrap_or_default(),
            "actor": event.context.actor.as_ref().map(|actor| actor.login.as_str()).unwrap_or_default(),
            "pull": event.context.pull.as_ref().map(|pull| pull.number.to_string()).unwrap_or_default(),
            "params": params,
        });
        Self { names: json!({ "event": fields, "params": params }) }
    }

    fn with(mut self, name: &str, value: Json) -> Self {
        if let Json::Object(names) = &mut self.names {
            names.insert(name.to_owned(), value);
        }
        self
    }

    /// The file's own environment is known to everything behind it.
    pub fn with_env(self, env: &BTreeMap<String, Template>) -> Self {
        let env: Map<String, Json> = env.iter().filter_map(|(name, value)| Some((name.clone(), Json::String(value.as_text()?)))).collect();
        self.with("env", Json::Object(env))
    }

    pub fn with_matrix(&self, values: &BTreeMap<String, String>) -> Self {
        self.clone().with("matrix", json!(values))
    }

    /// Paths of the files that the needed steps declare: known before any of them has run.
    pub fn with_outputs(self, outputs: Map<String, Json>) -> Self {
        self.with("steps", Json::Object(outputs))
    }

    /// Only what a condition refers to: the journal keeps it.
    pub fn only(&self, roots: &[&str]) -> Json {
        let names = self.names.as_object().into_iter().flatten();
        Json::Object(names.filter(|(name, _)| roots.contains(&name.as_str())).map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    pub fn fill(&self, template: &Template, escape: Escape, inputs: &dyn Fn(&str) -> Option<Template>) -> Result<Template, TemplateError> {
        if template.as_text().is_some() {
            return Ok(template.clone());
        }
        let deferred = |path: &[String]| match path {
            [root, step, outputs, name] if root == "steps" && outputs == "outputs" => {
                self.names.get("steps").and_then(|steps| steps.get(step)?.get("outputs")?.get(name)).is_none()
            }
            [root, ..] => root == "steps",
            [] => false,
        };
        template.fill(escape, &self.names, &deferred, inputs)
    }

    /// Variables with their values; secrets are not held here.
    pub fn fill_env(
        &self,
        env: &BTreeMap<String, EnvSource>,
        inputs: &dyn Fn(&str) -> Option<Template>,
    ) -> Result<BTreeMap<String, Template>, TemplateError> {
        let mut filled = BTreeMap::new();
        for (name, source) in env {
            if let EnvSource::Text(template) = source {
                filled.insert(name.clone(), self.fill(template, Escape::Plain, inputs)?);
            }
        }
        Ok(filled)
    }
}

fn typed(kind: ParameterKind, value: &str) -> Json {
    match kind {
        ParameterKind::Text => Json::String(value.to_owned()),
        ParameterKind::Boolean => Json::Bool(value == "true"),
        ParameterKind::Number => serde_json::from_str(value).ok().filter(Json::is_number).unwrap_or_else(|| Json::String(value.to_owned())),
    }
}
