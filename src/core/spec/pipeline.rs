//! The pipeline: checked, lowered, with nothing of YAML left in it but where things stood.

use std::collections::BTreeMap;
use std::time::Duration;

use super::condition::CompiledCondition;
use super::places::{Part, Places};
use super::route::Route;
use crate::core::template::Template;
use crate::model::build::Begins;
use crate::model::deploy::RolloutPolicy;
use crate::model::diagnostic::{Diagnostic, Level, Span};
use crate::model::finding::Severity;
use crate::model::function::Target;
use crate::model::invocation::OutputDeclaration;
use crate::model::limits::{Network, Resources, Retry};
use crate::model::request::Waiting;
use crate::model::service::Ready;

#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// As it was given: relative to the repository.
    pub file: String,
    pub name: String,
    pub on: Triggers,
    /// Held by a server; a run at a terminal is of no group.
    pub concurrency: Option<ConcurrencySource>,
    pub priority: i32,
    pub env: BTreeMap<String, EnvSource>,
    /// In the order of the file.
    pub steps: Vec<Step>,
    pub functions: Vec<FunctionSource>,
    pub(super) unsupported: Vec<Diagnostic>,
    pub(super) places: Places,
}

impl Pipeline {
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    pub fn function(&self, name: &str) -> Option<&FunctionSource> {
        self.functions.iter().find(|function| function.name == name)
    }

    /// Where a route leads in the text.
    pub fn span(&self, route: &Route, part: &Part) -> Option<Span> {
        self.places.span(route, part)
    }

    /// A message about this file.
    pub fn diagnostic(&self, level: Level, code: &str, route: &Route, part: &Part, message: impl Into<String>) -> Diagnostic {
        let span = self.places.span(route, part);
        Diagnostic { level, code: code.to_owned(), message: message.into(), route: route.to_string(), span, label: String::new(), hints: Vec::new() }
    }
}

/// Which runs exclude one another.
#[derive(Debug, Clone, PartialEq)]
pub struct ConcurrencySource {
    pub group: Template,
    pub supersede: bool,
    pub queue: Waiting,
}

/// What starts it. A person can always start it by hand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Triggers {
    pub push: Option<PushFilter>,
    pub pull_request: Option<PullRequestFilter>,
    /// Each of these with the words that are wanted; without any, the usual ones.
    pub release: Option<Option<Vec<String>>>,
    pub merge_group: Option<Option<Vec<String>>>,
    pub deployment: Option<Option<Vec<String>>>,
    pub repository_dispatch: Option<Option<Vec<String>>>,
    /// Cron, in UTC.
    pub schedule: Vec<String>,
    pub params: Vec<Parameter>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct PushFilter {
    pub branches: Option<Vec<String>>,
    pub tags: Option<Vec<String>>,
    pub paths: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct PullRequestFilter {
    pub branches: Option<Vec<String>>,
    pub paths: Option<Vec<String>>,
    /// What happens to it: of the forge's words.
    pub types: Option<Vec<String>>,
}

/// Of `on.manual.params`, or an input of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub kind: ParameterKind,
    pub choices: Vec<String>,
    pub default: Option<String>,
    pub required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    Text,
    Number,
    Boolean,
}

impl Parameter {
    /// Whether a value may be given, or what is wrong with it.
    pub fn accept(&self, value: &str) -> Result<(), String> {
        match self.kind {
            ParameterKind::Number if value.parse::<f64>().ok().is_none_or(|number| !number.is_finite()) => {
                return Err(format!("{value:?} is no number"));
            }
            ParameterKind::Boolean if !matches!(value, "true" | "false") => return Err(format!("{value:?} is neither true nor false")),
            _ => {}
        }
        if self.choices.is_empty() || self.choices.iter().any(|choice| choice == value) {
            return Ok(());
        }
        Err(format!("{value:?} is none of its choices: {}", self.choices.join(", ")))
    }

    /// The value when none is given; text that is not required may be empty.
    pub fn fallback(&self) -> Option<String> {
        let empty = match self.kind {
            ParameterKind::Text => String::new(),
            ParameterKind::Number => "0".to_owned(),
            ParameterKind::Boolean => "false".to_owned(),
        };
        self.default
            .clone()
            .or_else(|| (!self.required && self.choices.is_empty()).then_some(empty))
            .or_else(|| if self.required { None } else { self.choices.first().cloned() })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum EnvSource {
    Text(Template),
    /// The name of a secret.
    Secret(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub name: String,
    pub work: StepWork,
    pub needs: Vec<String>,
    pub condition: Option<CompiledCondition>,
    pub env: BTreeMap<String, EnvSource>,
    pub outputs: Vec<OutputDeclaration>,
    /// The container image that it runs in; without one it sees the host's tools.
    pub image: Option<Template>,
    pub build: Option<BuildSource>,
    pub services: Vec<ServiceSource>,
    pub retry: Retry,
    pub timeout: Duration,
    pub idempotent: bool,
    /// Each key with its values, in the order of the file. Empty without a matrix.
    pub matrix: Vec<(String, Vec<String>)>,
    pub concurrency: Option<u32>,
    /// What it deploys to.
    pub environment: Option<String>,
    pub network: Network,
    pub resources: Resources,
}

impl Step {
    /// How many nodes it becomes.
    pub fn size(&self) -> usize {
        self.matrix.iter().map(|(_, values)| values.len()).fold(1, usize::saturating_mul)
    }

    pub fn output(&self, name: &str) -> Option<&OutputDeclaration> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum StepWork {
    Run(Template),
    Use(ActionUse),
    Deploy { function: String, step: String, output: String },
}

/// A container that runs beside a step.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSource {
    pub name: String,
    pub image: Template,
    pub user: Option<String>,
    pub env: BTreeMap<String, EnvSource>,
    pub ready: Option<Ready>,
}

/// The image that is made of a step's root.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildSource {
    pub archive: String,
    pub tag: Option<Template>,
    pub env: BTreeMap<String, EnvSource>,
    pub begins: Begins,
}

/// A reusable step with its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionUse {
    pub name: String,
    pub script: Template,
    pub env: BTreeMap<String, EnvSource>,
    /// Every input, also those that `with` does not set.
    pub inputs: BTreeMap<String, Template>,
    /// Findings at or above fail the step.
    pub gate: Option<Severity>,
}

/// A function as the file describes it; its environment is filled in when the plan is made.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionSource {
    pub name: String,
    pub runtime: String,
    pub handler: String,
    pub memory: u64,
    pub timeout: Duration,
    pub concurrency: u32,
    pub env: BTreeMap<String, EnvSource>,
    pub target: Target,
    pub policy: RolloutPolicy,
}
