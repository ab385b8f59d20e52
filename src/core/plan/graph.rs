//! The plan itself: what `Run` executes. Serialisable, as the journal keeps it whole.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::template::{Escape, Template, TemplateError};
use crate::model::build::{Begins, ImageBuild};
use crate::model::deploy::RolloutPolicy;
use crate::model::event::Event;
use crate::model::function::Function;
use crate::model::id::NodeId;
use crate::model::invocation::OutputDeclaration;
use crate::model::limits::{Network, Resources, Retry};
use crate::model::policy::Gate;
use crate::model::service::{Ready, Service};
use crate::model::trust::Trust;

/// A directed acyclic graph of nodes, in an order in which every node stands behind all that it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub pipeline: String,
    /// Where the pipeline was read from, relative to the repository.
    pub file: String,
    pub event: Event,
    /// What `core::trust` has made of it: an untrusted plan has been restricted.
    #[serde(default, skip_serializing_if = "Trust::is_trusted")]
    pub trust: Trust,
    pub nodes: Vec<Node>,
}

impl Plan {
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| &node.id == id)
    }
}

/// One node: a step with one set of matrix values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// The step's name in the file.
    pub step: String,
    pub matrix: BTreeMap<String, String>,
    pub needs: Vec<NodeId>,
    /// What is left of `if:` once the event is known.
    pub condition: Condition,
    pub work: Work,
    pub timeout: Duration,
    pub retry: Retry,
    /// May run again although a start of it is journaled.
    pub idempotent: bool,
    /// Invocations of this step at once.
    pub concurrency: Option<u32>,
    /// What it deploys to, and what holds it up there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Gate>,
}

/// When a node whose needs have all ended runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// No `if`: all that it needs succeeded.
    NeedsSucceeded,
    /// The plan already knows that it will not run, and why.
    Never { because: String },
    /// A CEL expression over `event`, `params`, `matrix`, `steps.X.outcome`, `steps.X.outputs.Y`, `always()`, `failed()`.
    /// `even_after_failure`: it looks at outcomes itself, so a failed need does not skip it.
    /// `known`: the names that were known when the plan was made (`event`, `params`, `matrix`), as far as the source refers to them.
    Cel { source: String, even_after_failure: bool, known: serde_json::Value },
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "most nodes are invocations")]
pub enum Work {
    Invoke(Invoke),
    Deploy(Box<Deploy>),
}

/// Run a script once in a sandbox or container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invoke {
    /// Shell. What is left to fill in is what only the run knows (outputs and outcomes of needs); see [`Invoke::resolve`].
    pub script: Template,
    /// Environment values, likewise.
    pub env: BTreeMap<String, Template>,
    pub outputs: Vec<OutputDeclaration>,
    /// The container image; without one, the host's tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Template>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildTemplate>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceTemplate>,
    pub network: Network,
    pub resources: Resources,
    /// `secret-scan` where the step is a reusable one.
    pub action: Option<String>,
}

/// A container beside a step; what is left to fill in is what only the run knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceTemplate {
    pub name: String,
    pub image: Template,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub env: BTreeMap<String, Template>,
    pub ready: Option<Ready>,
}

/// An image that is made of the step's root; what is left to fill in is what only the run knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildTemplate {
    pub archive: String,
    pub tag: Option<Template>,
    pub env: BTreeMap<String, Template>,
    pub begins: Begins,
}

impl Invoke {
    /// Script and environment with what the run knows by now: `steps` as [`super::steps_context`] gives it.
    pub fn resolve(&self, steps: &serde_json::Value) -> Result<(String, BTreeMap<String, String>), TemplateError> {
        let script = self.script.render(Escape::Shell, steps)?;
        Ok((script, plain(&self.env, steps)?))
    }

    /// The image, likewise.
    pub fn resolve_image(&self, steps: &serde_json::Value) -> Result<Option<String>, TemplateError> {
        self.image.as_ref().map(|image| image.render(Escape::Plain, steps)).transpose()
    }

    /// The image that it makes, likewise.
    pub fn resolve_build(&self, steps: &serde_json::Value) -> Result<Option<ImageBuild>, TemplateError> {
        let resolve = |build: &BuildTemplate| {
            let tag = build.tag.as_ref().map(|tag| tag.render(Escape::Plain, steps)).transpose()?;
            Ok(ImageBuild { archive: build.archive.clone(), tag, env: plain(&build.env, steps)?, begins: build.begins.clone() })
        };
        self.build.as_ref().map(resolve).transpose()
    }

    /// What runs beside it, likewise.
    pub fn resolve_services(&self, steps: &serde_json::Value) -> Result<Vec<Service>, TemplateError> {
        let resolve = |service: &ServiceTemplate| {
            let image = service.image.render(Escape::Plain, steps)?;
            let env = plain(&service.env, steps)?;
            Ok(Service { name: service.name.clone(), image, user: service.user.clone(), env, ready: service.ready.clone() })
        };
        self.services.iter().map(resolve).collect()
    }
}

fn plain(env: &BTreeMap<String, Template>, steps: &serde_json::Value) -> Result<BTreeMap<String, String>, TemplateError> {
    env.iter().map(|(name, value)| Ok((name.clone(), value.render(Escape::Plain, steps)?))).collect()
}

/// Publish an artifact as a function's release and move traffic to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// Complete: a function's environment is all known when the plan is made.
    pub function: Function,
    pub artifact: ArtifactRef,
    pub policy: RolloutPolicy,
}

/// An output of a node that is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRef {
    pub node: NodeId,
    pub output: String,
}
