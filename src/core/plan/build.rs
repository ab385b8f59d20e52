//! Makes the plan.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value as Json, json};

use super::fill::Known;
use super::graph::{ArtifactRef, BuildTemplate, Condition, Deploy, Invoke, Node, Plan, ServiceTemplate, Work};
use super::matrix::{Combination, expand};
use super::order::topological;
use super::select::params;
use crate::core::spec::condition::CompiledCondition;
use crate::core::spec::{BuildSource, EnvSource, FunctionSource, Part, Pipeline, Route, ServiceSource, Step, StepWork, nearest};
use crate::core::template::{Escape, Template, TemplateError};
use crate::model::deploy::RolloutPolicy;
use crate::model::diagnostic::{Diagnostic, Level};
use crate::model::event::Event;
use crate::model::function::{EnvValue, Function};
use crate::model::id::NodeId;
use crate::model::policy::Gate;
use crate::model::request::Group;
use crate::model::trust::Trust;

pub const MAX_NODES: usize = 10_000;
/// Of a concurrency group's name, filled in.
const MAX_GROUP_BYTES: usize = 1_000;
/// Needs of all nodes together: two steps with a matrix of 256 each have 65,536.
pub const MAX_EDGES: usize = 250_000;

/// What would run for this event: all steps, or only some and what they need.
pub fn build(pipeline: &Pipeline, event: &Event, only_steps: &[String]) -> Result<Plan, Vec<Diagnostic>> {
    let event = Event { params: params(pipeline, event)?, ..event.clone() };
    let index: HashMap<&str, usize> = pipeline.steps.iter().enumerate().map(|(at, step)| (step.name.as_str(), at)).collect();
    let chosen = choose(pipeline, &index, only_steps)?;
    let needs: Vec<Vec<usize>> =
        pipeline.steps.iter().map(|step| step.needs.iter().filter_map(|need| index.get(need.as_str()).copied()).collect()).collect();
    let cycle =
        || vec![pipeline.diagnostic(Level::Error, "cycle", &Route::root().key("steps"), &Part::Key, "these steps wait for one another for ever")];
    let order: Vec<usize> = topological(&needs).ok_or_else(cycle)?.into_iter().filter(|at| chosen.contains(at)).collect();
    check_size(pipeline, &order, &needs)?;
    let planner = Planner::new(pipeline, &event, index).map_err(|diagnostic| vec![*diagnostic])?;
    let combinations: HashMap<usize, Vec<Combination>> = order.iter().map(|at| (*at, expand(&pipeline.steps[*at]))).collect();
    let mut nodes = Vec::with_capacity(combinations.values().map(Vec::len).sum());
    let mut errors = Vec::new();
    for at in &order {
        let ids: Vec<NodeId> = needs[*at].iter().flat_map(|need| combinations.get(need).into_iter().flatten().map(|one| one.id.clone())).collect();
        for combination in combinations.get(at).into_iter().flatten() {
            match planner.node(&pipeline.steps[*at], combination, ids.clone()) {
                Ok(node) => nodes.push(node),
                Err(error) => errors.push(*error),
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Plan { pipeline: pipeline.name.clone(), file: pipeline.file.clone(), event, trust: Trust::Trusted, nodes })
}

/// The group that a run for this event is of.
pub fn group(pipeline: &Pipeline, event: &Event) -> Result<Option<Group>, Vec<Diagnostic>> {
    let Some(source) = &pipeline.concurrency else { return Ok(None) };
    let event = Event { params: params(pipeline, event)?, ..event.clone() };
    let planner = Planner::new(pipeline, &event, HashMap::new()).map_err(|diagnostic| vec![*diagnostic])?;
    let filled = planner.group_name(&source.group).map_err(|diagnostic| vec![*diagnostic])?;
    Ok(Some(Group { name: filled, supersede: source.supersede, queue: source.queue }))
}

/// One function of the pipeline, complete, for a deploy by hand.
pub fn function(pipeline: &Pipeline, event: &Event, name: &str) -> Result<(Function, RolloutPolicy), Vec<Diagnostic>> {
    let event = Event { params: params(pipeline, event)?, ..event.clone() };
    let Some(source) = pipeline.function(name) else {
        let message = format!("the pipeline has no function {name:?}");
        let mut diagnostic = pipeline.diagnostic(Level::Error, "unknown-function", &Route::root().key("functions"), &Part::Key, message);
        diagnostic
            .hints
            .extend(nearest(name, pipeline.functions.iter().map(|function| function.name.as_str())).map(|near| format!("did you mean {near:?}?")));
        return Err(vec![diagnostic]);
    };
    let planner = Planner::new(pipeline, &event, HashMap::new()).map_err(|diagnostic| vec![*diagnostic])?;
    let function = planner.function(source).map_err(|diagnostic| vec![*diagnostic])?;
    Ok((function, source.policy.clone()))
}

/// Not all of them, where there are many.
fn steps_there_are(pipeline: &Pipeline) -> String {
    const SOME: usize = 10;
    let names: Vec<&str> = pipeline.steps.iter().take(SOME).map(|step| step.name.as_str()).collect();
    let more = if pipeline.steps.len() > SOME { ", …" } else { "" };
    format!("its steps are: {}{more}", names.join(", "))
}

fn choose(pipeline: &Pipeline, index: &HashMap<&str, usize>, only: &[String]) -> Result<HashSet<usize>, Vec<Diagnostic>> {
    if only.is_empty() {
        return Ok((0..pipeline.steps.len()).collect());
    }
    let (mut open, mut errors) = (Vec::new(), Vec::new());
    for name in only {
        match index.get(name.as_str()) {
            Some(at) => open.push(*at),
            None => {
                let steps = Route::root().key("steps");
                let mut diagnostic =
                    pipeline.diagnostic(Level::Error, "unknown-step", &steps, &Part::Key, format!("the pipeline has no step {name:?}"));
                let near = nearest(name, index.keys().copied()).map(|near| format!("did you mean {near:?}?"));
                diagnostic.hints.push(near.unwrap_or_else(|| steps_there_are(pipeline)));
                errors.push(diagnostic);
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut chosen: HashSet<usize> = open.iter().copied().collect();
    while let Some(at) = open.pop() {
        for need in &pipeline.steps[at].needs {
            if let Some(need) = index.get(need.as_str()).filter(|need| chosen.insert(**need)) {
                open.push(*need);
            }
        }
    }
    Ok(chosen)
}

/// Counted before anything is made.
fn check_size(pipeline: &Pipeline, order: &[usize], needs: &[Vec<usize>]) -> Result<(), Vec<Diagnostic>> {
    let size = |at: &usize| pipeline.steps[*at].size();
    let nodes = order.iter().map(size).fold(0, usize::saturating_add);
    let edges = order.iter().map(|at| needs[*at].iter().map(size).sum::<usize>().saturating_mul(size(at))).fold(0, usize::saturating_add);
    let steps = Route::root().key("steps");
    for (found, limit, what) in [(nodes, MAX_NODES, "nodes"), (edges, MAX_EDGES, "needs between nodes")] {
        if found > limit {
            let message = format!("the plan has {found} {what}, at most {limit} are run");
            let mut diagnostic = pipeline.diagnostic(Level::Error, "too-many-nodes", &steps, &Part::Key, message);
            diagnostic.hints.push("a step between two large matrices that only gathers has far fewer needs".to_owned());
            return Err(vec![diagnostic]);
        }
    }
    Ok(())
}

type Stop = Box<Diagnostic>;

struct Planner<'a> {
    pipeline: &'a Pipeline,
    index: HashMap<&'a str, usize>,
    known: Known,
    /// The file's own, for every step.
    env: BTreeMap<String, Template>,
}

impl<'a> Planner<'a> {
    fn new(pipeline: &'a Pipeline, event: &Event, index: HashMap<&'a str, usize>) -> Result<Self, Stop> {
        let known = Known::of_event(pipeline, event);
        let env = known.fill_env(&pipeline.env, &|_| None).map_err(|error| stop(pipeline, &Route::root().key("env"), &error))?;
        Ok(Self { pipeline, index, known: known.with_env(&env), env })
    }

    fn node(&self, step: &Step, combination: &Combination, needs: Vec<NodeId>) -> Result<Node, Stop> {
        let route = Route::root().key("steps").key(&step.name);
        let known = self.known.with_matrix(&combination.values).with_outputs(self.files(step));
        let condition = match &step.condition {
            None => Condition::NeedsSucceeded,
            Some(condition) => self.condition(condition, &known).map_err(|why| {
                let mut diagnostic = self.pipeline.diagnostic(Level::Error, "condition", &route.key("if"), &Part::Value, why);
                diagnostic.label = "can not be decided".to_owned();
                Box::new(diagnostic)
            })?,
        };
        let work = self.work(step, &known).map_err(|error| stop(self.pipeline, &route, &error))?;
        Ok(Node {
            id: combination.id.clone(),
            step: step.name.clone(),
            matrix: combination.values.clone(),
            needs,
            condition,
            work,
            timeout: step.timeout,
            retry: step.retry.clone(),
            idempotent: step.idempotent,
            concurrency: step.concurrency,
            environment: step.environment.clone().map(|environment| Gate { environment, protection: None }),
        })
    }

    /// What a group is called. Nothing of it is known only to the run.
    fn group_name(&self, group: &Template) -> Result<String, Stop> {
        let route = Route::root().key("concurrency").key("group");
        let filled = self.known.fill(group, Escape::Plain, &|_| None).map_err(|error| stop(self.pipeline, &route, &error))?;
        let text = filled.as_text().unwrap_or_default();
        if text.is_empty() || text.len() > MAX_GROUP_BYTES {
            let message = format!("the name of a group has from 1 to {MAX_GROUP_BYTES} bytes; for this event it has {}", text.len());
            return Err(Box::new(self.pipeline.diagnostic(Level::Error, "invalid-value", &route, &Part::Value, message)));
        }
        Ok(text.to_owned())
    }

    /// Paths of declared files of the needed steps.
    fn files(&self, step: &Step) -> Map<String, Json> {
        let source = |need: &String| self.index.get(need.as_str()).and_then(|at| self.pipeline.steps.get(*at));
        let declared = |source: &Step| -> Map<String, Json> {
            source.outputs.iter().map(|output| (output.name.clone(), Json::String(output.path.clone()))).collect()
        };
        step.needs
            .iter()
            .filter_map(source)
            .filter(|source| !source.outputs.is_empty())
            .map(|source| (source.name.clone(), json!({ "outputs": declared(source) })))
            .collect()
    }

    fn condition(&self, condition: &CompiledCondition, known: &Known) -> Result<Condition, String> {
        let names = known.only(&["event", "params", "matrix"]);
        let never = || Condition::Never { because: because(condition, &names) };
        if !condition.deferred() {
            let holds = condition.decide(&names, false).map_err(|error| error.to_string())?;
            return Ok(if holds { Condition::NeedsSucceeded } else { never() });
        }
        if condition.never(&names).map_err(|error| error.to_string())? {
            return Ok(never());
        }
        let roots: Vec<&str> =
            condition.names.iter().filter_map(|(path, _)| path.first()).map(String::as_str).filter(|root| *root != "steps").collect();
        Ok(Condition::Cel { source: condition.source.clone(), even_after_failure: condition.even_after_failure(), known: known.only(&roots) })
    }

    fn work(&self, step: &Step, known: &Known) -> Result<Work, TemplateError> {
        let nothing = |_: &str| None;
        let mut env = self.env.clone();
        let (script, action) = match &step.work {
            StepWork::Run(script) => (known.fill(script, Escape::Shell, &nothing)?, None),
            StepWork::Use(action) => {
                let mut filled = BTreeMap::new();
                for (name, value) in &action.inputs {
                    filled.insert(name.as_str(), known.fill(value, Escape::Plain, &nothing)?);
                }
                let inputs = |name: &str| filled.get(name).cloned();
                env.extend(known.fill_env(&action.env, &inputs)?);
                (known.fill(&action.script, Escape::Shell, &inputs)?, Some(action.name.clone()))
            }
            StepWork::Deploy { function, step: from, output } => {
                let source = self
                    .pipeline
                    .function(function)
                    .ok_or_else(|| TemplateError { expression: function.clone(), why: "there is no such function".into() })?;
                let function =
                    self.function(source).map_err(|diagnostic| TemplateError { expression: source.name.clone(), why: diagnostic.message })?;
                let artifact = ArtifactRef { node: NodeId::new(from.as_str()), output: output.clone() };
                return Ok(Work::Deploy(Box::new(Deploy { function, artifact, policy: source.policy.clone() })));
            }
        };
        env.extend(known.fill_env(&step.env, &nothing)?);
        let service = |service: &ServiceSource| {
            let image = known.fill(&service.image, Escape::Plain, &nothing)?;
            let env = known.fill_env(&service.env, &nothing)?;
            Ok(ServiceTemplate { name: service.name.clone(), image, user: service.user.clone(), env, ready: service.ready.clone() })
        };
        let build = |build: &BuildSource| -> Result<_, TemplateError> {
            let tag = build.tag.as_ref().map(|tag| known.fill(tag, Escape::Plain, &nothing)).transpose()?;
            let env = known.fill_env(&build.env, &nothing)?;
            Ok(BuildTemplate { archive: build.archive.clone(), tag, env, begins: build.begins.clone() })
        };
        Ok(Work::Invoke(Invoke {
            script,
            env,
            outputs: step.outputs.clone(),
            image: step.image.as_ref().map(|image| known.fill(image, Escape::Plain, &nothing)).transpose()?,
            build: step.build.as_ref().map(build).transpose()?,
            services: step.services.iter().map(service).collect::<Result<_, TemplateError>>()?,
            network: step.network.clone(),
            resources: step.resources.clone(),
            action,
        }))
    }

    fn function(&self, source: &FunctionSource) -> Result<Function, Stop> {
        let route = Route::root().key("functions").key(&source.name).key("env");
        let filled = self.known.fill_env(&source.env, &|_| None).map_err(|error| stop(self.pipeline, &route, &error))?;
        let mut env: BTreeMap<String, EnvValue> =
            filled.into_iter().filter_map(|(name, value)| Some((name, EnvValue::Plain(value.as_text()?)))).collect();
        for (name, value) in &source.env {
            if let EnvSource::Secret(secret) = value {
                env.insert(name.clone(), EnvValue::Secret(secret.clone()));
            }
        }
        Ok(Function {
            name: source.name.clone(),
            runtime: source.runtime.clone(),
            handler: source.handler.clone(),
            memory: source.memory,
            timeout: source.timeout,
            concurrency: source.concurrency,
            env,
            target: source.target.clone(),
        })
    }
}

fn stop(pipeline: &Pipeline, route: &Route, error: &TemplateError) -> Stop {
    Box::new(pipeline.diagnostic(Level::Error, "unknown-name", route, &Part::Key, error.to_string()))
}

/// The condition, and what the event says instead.
fn because(condition: &CompiledCondition, names: &Json) -> String {
    let mut values: Vec<String> = Vec::new();
    for (path, _) in &condition.names {
        let value = path.iter().try_fold(names, |at, part| at.get(part));
        if let Some(value) = value.filter(|value| !value.is_object()) {
            let text = format!("{} is {value}", path.join("."));
            if !values.contains(&text) {
                values.push(text);
            }
        }
    }
    let source = condition.source.split_whitespace().collect::<Vec<_>>().join(" ");
    if values.is_empty() { format!("its condition is false: {source}") } else { format!("its condition is false: {source} ({})", values.join(", ")) }
}
