//! Reusable steps: `action.yaml`, in Tidegate itself (`uses: secret-scan`) or in the repository (`uses: ./path`).

use std::collections::BTreeMap;

use super::lower::{Cursor, action_scope, env, parameter, script};
use super::pipeline::{EnvSource, Parameter};
use super::shape::Shape;
use super::{format, read};
use crate::core::template::Template;
use crate::model::diagnostic::Diagnostic;
use crate::model::invocation::OutputDeclaration;

#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    pub name: String,
    pub inputs: Vec<Parameter>,
    pub env: BTreeMap<String, EnvSource>,
    /// With `${{ inputs.NAME }}`.
    pub script: Template,
    pub outputs: Vec<OutputDeclaration>,
}

/// Where the file of an action is, as people would look for it.
pub fn file_of(name: &str) -> String {
    match name.strip_prefix("./") {
        Some(path) => format!("{path}/action.yaml"),
        None => format!("actions/{name}/action.yaml"),
    }
}

/// Reads an action with the same messages as a pipeline. An action sees its inputs and nothing else.
pub fn load(name: &str, text: &str) -> Result<Action, Vec<Diagnostic>> {
    let (value, places) = read(text)?;
    let mut problems = super::problems::Problems::new(&places);
    super::validate::validate(&Shape::Keys(&format::ACTION), &value, &places, &mut problems);
    let root = Cursor::root(&value, &places);
    let inputs: Vec<Parameter> = root.entries_at("inputs").into_iter().map(|(name, input)| parameter(name, &input, &mut problems)).collect();
    let scope = action_scope(inputs.iter().map(|input| input.name.as_str()).collect());
    let env = env(root.key("env").as_ref(), &scope, &mut problems);
    let script = root.key("run").map(|run| script(&run, &scope, &mut problems)).unwrap_or_default();
    let outputs = root.entries_at("outputs").into_iter().filter_map(|(name, path)| Some(OutputDeclaration { name, path: path.text()? })).collect();
    let mut errors = problems.list;
    errors.extend(problems.unsupported.into_iter().map(|note| Diagnostic { level: crate::model::diagnostic::Level::Error, ..note }));
    if errors.is_empty() {
        Ok(Action { name: root.text_at("name").unwrap_or_else(|| name.to_owned()), inputs, env, script, outputs })
    } else {
        Err(errors)
    }
}
