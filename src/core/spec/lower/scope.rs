//! Which names an expression may use at a place, and what to say about those that it may not.

use std::collections::BTreeMap;

/// Names that are known at one place of the file.
#[derive(Default, Clone)]
pub struct Scope<'a> {
    pub params: Vec<&'a str>,
    pub matrix: Vec<&'a str>,
    /// `None` where `env` has no meaning.
    pub env: Option<Vec<&'a str>>,
    /// Where they are, nothing else is: an action sees its inputs only.
    pub inputs: Option<Vec<&'a str>>,
    /// The steps that are needed, with whether each has a matrix. `None` where steps have no meaning.
    pub steps: Option<BTreeMap<&'a str, Needed>>,
    /// Every step of the file.
    pub all_steps: Vec<&'a str>,
}

#[derive(Clone, Copy)]
pub struct Needed {
    pub many: bool,
}

pub const EVENT_FIELDS: [&str; 11] = ["kind", "ref", "branch", "commit", "subject", "author", "repository", "action", "actor", "pull", "params"];

/// Why a name can not be used.
pub struct Unknown<'a> {
    pub message: String,
    pub found: String,
    /// What could have been meant.
    pub known: Vec<&'a str>,
    pub hint: Option<String>,
}

impl<'a> Scope<'a> {
    pub fn check(&self, path: &[String]) -> Result<(), Unknown<'a>> {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["inputs", name] if self.inputs.is_some() => one(name, self.inputs.as_deref().unwrap_or_default(), "an input of this action"),
            [root, ..] if self.inputs.is_some() => Err(self.root(root, &parts)),
            ["event", "params", name] | ["params", name] => one(name, &self.params, "a parameter of on.manual.params"),
            ["event", field] if *field != "params" => one(field, &EVENT_FIELDS[..10], "a field of the event"),
            ["matrix", key] => one(key, &self.matrix, "a key of this step's matrix"),
            ["env", name] if self.env.is_some() => one(name, self.env.as_deref().unwrap_or_default(), "a variable of the file's env"),
            ["steps", step, rest @ ..] if self.steps.is_some() => self.step(step, rest),
            [root, ..] => Err(self.root(root, &parts)),
            [] => Ok(()),
        }
    }

    fn step(&self, step: &str, rest: &[&str]) -> Result<(), Unknown<'a>> {
        let needed = self.steps.as_ref().and_then(|steps| steps.get(step)).copied();
        let Some(needed) = needed else {
            if self.all_steps.contains(&step) {
                let hint = Some(format!("add {step} to needs: only what a step needs has ended before it"));
                return Err(Unknown { message: format!("this step does not need {step:?}"), found: String::new(), known: Vec::new(), hint });
            }
            let known = self.all_steps.clone();
            return Err(Unknown { message: format!("there is no step {step:?}"), found: step.to_owned(), known, hint: None });
        };
        match rest {
            ["outcome"] => Ok(()),
            ["outputs", _] if needed.many => {
                let message = format!("{step:?} has a matrix, so it has no single output");
                let hint = Some("its files are in the workspace of every step that needs it".to_owned());
                Err(Unknown { message, found: String::new(), known: Vec::new(), hint })
            }
            ["outputs", _] => Ok(()),
            _ => {
                let message = format!("a step has steps.{step}.outcome and steps.{step}.outputs.NAME, nothing else");
                Err(Unknown { message, found: rest.first().copied().unwrap_or_default().to_owned(), known: vec!["outcome", "outputs"], hint: None })
            }
        }
    }

    fn root(&self, root: &str, parts: &[&str]) -> Unknown<'a> {
        let mut known = if self.inputs.is_some() { vec!["inputs"] } else { vec!["event", "params"] };
        if !self.matrix.is_empty() {
            known.push("matrix");
        }
        if self.env.is_some() {
            known.push("env");
        }
        if self.steps.is_some() {
            known.push("steps");
        }
        if known.contains(&root) {
            return Unknown {
                message: format!("{:?} does not name one value", parts.join(".")),
                found: String::new(),
                known: Vec::new(),
                hint: example(root),
            };
        }
        let message = match root {
            "event" | "params" | "matrix" | "steps" | "env" if self.inputs.is_some() => "an action sees its inputs and nothing else".to_owned(),
            "matrix" => "this step has no matrix".to_owned(),
            "steps" | "env" | "inputs" => format!("{root} has no meaning here"),
            _ => format!("there is no name {root:?}"),
        };
        let hint = match root {
            "github" => Some("Tidegate says event: event.branch, event.commit, event.author".to_owned()),
            _ if self.inputs.is_some() => Some(format!("declare an input and hand {} in through with", parts.join("."))),
            "secrets" => Some("a secret reaches a step through env: NAME: { secret: NAME }".to_owned()),
            _ => None,
        };
        Unknown { message, found: root.to_owned(), known, hint }
    }
}

fn example(root: &str) -> Option<String> {
    let example = match root {
        "event" => "event.branch",
        "params" => "params.NAME",
        "matrix" => "matrix.NAME",
        "env" => "env.NAME",
        "inputs" => "inputs.NAME",
        _ => "steps.NAME.outputs.KEY",
    };
    Some(format!("such as {example}"))
}

fn one<'a>(name: &str, known: &[&'a str], what: &str) -> Result<(), Unknown<'a>> {
    if known.contains(&name) {
        return Ok(());
    }
    Err(Unknown { message: format!("{name:?} is not {what}"), found: name.to_owned(), known: known.to_vec(), hint: None })
}
