//! `steps:`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::super::action::{self, Action};
use super::super::fields::{duration, names, parse_count, size};
use super::super::pipeline::{ActionUse, EnvSource, Step, StepWork};
use super::super::places::Part;
use super::super::problems::Problems;
use super::build;
use super::cursor::Cursor;
use super::scope::{Needed, Scope};
use super::{services, texts};
use crate::core::template::Template;
use crate::model::finding::Severity;
use crate::model::invocation::OutputDeclaration;
use crate::model::limits::{Network, Resources, Retry, RetryOn};

/// Nodes that one step may become.
pub const MAX_MATRIX: usize = 256;

/// Entries of one `network` list.
const MAX_HOSTS: usize = 200;

/// What all steps share.
pub struct Shared<'a> {
    pub scope: Scope<'a>,
    /// Names of steps, and whether each has a matrix.
    pub steps: &'a HashMap<String, Needed>,
    pub functions: &'a [&'a str],
    pub defaults: Defaults,
    pub actions: &'a dyn Fn(&str) -> Option<String>,
}

pub struct Defaults {
    pub timeout: Duration,
    pub network: Network,
    pub resources: Resources,
}

pub fn defaults(cursor: Option<&Cursor<'_>>, problems: &mut Problems<'_>) -> Defaults {
    Defaults {
        timeout: cursor.and_then(|cursor| cursor.parse("timeout", duration::parse)).unwrap_or(Duration::from_secs(3600)),
        network: cursor.and_then(|cursor| network(cursor, problems)).unwrap_or(Network::None),
        resources: cursor.and_then(resources).unwrap_or(Resources { cpu: None, memory: None, pids: None, disk: None }),
    }
}

fn network(cursor: &Cursor<'_>, problems: &mut Problems<'_>) -> Option<Network> {
    let network = cursor.key("network")?;
    if network.is_list() {
        let entries = network.texts();
        if entries.len() > MAX_HOSTS {
            let message = format!("this list has {} entries, at most {MAX_HOSTS} are held", entries.len());
            problems.error("invalid-value", &network.route, Part::Key, message, "too many entries");
            problems.hint("write *.domain for many names of one domain");
        }
        return Some(Network::Only(entries.iter().filter_map(|entry| entry.parse().ok()).collect()));
    }
    match network.text()?.as_str() {
        "open" => Some(Network::Open),
        "learn" => Some(Network::Learn),
        _ => Some(Network::None),
    }
}

fn resources(cursor: &Cursor<'_>) -> Option<Resources> {
    let resources = cursor.key("resources")?;
    Some(Resources {
        cpu: resources.parse("cpu", str::parse),
        memory: resources.parse("memory", size::parse),
        pids: resources.parse("pids", parse_count),
        disk: resources.parse("disk", size::parse),
    })
}

pub fn lower(name: String, cursor: &Cursor<'_>, shared: &Shared<'_>, problems: &mut Problems<'_>) -> Step {
    let needs = needs(&name, cursor, shared, problems);
    let matrix: Vec<(String, Vec<String>)> = cursor.entries_at("matrix").into_iter().map(|(key, values)| (key, values.texts())).collect();
    check_matrix(cursor, &matrix, problems);
    let mut scope = shared.scope.clone();
    scope.matrix = matrix.iter().map(|(key, _)| key.as_str()).collect();
    scope.steps = Some(needs.iter().filter_map(|need| shared.steps.get(need).map(|needed| (need.as_str(), *needed))).collect());
    let condition = cursor.key("if").and_then(|at| {
        let scope = Scope { env: None, ..scope.clone() };
        texts::condition(&at, &scope, problems)
    });
    let env = texts::env(cursor.key("env").as_ref(), &scope, problems);
    let image = cursor.key("image").map(|image| texts::template(&image, &scope, problems));
    let build = build::lower(cursor, &scope, problems);
    let services = services::services(cursor, &scope, problems);
    let mut outputs = outputs(cursor);
    let work = work(cursor, shared, &scope, &needs, &mut outputs, problems);
    build.iter().for_each(|build| build::check(cursor, build, &outputs, problems));
    let idempotent = cursor.flag("idempotent").unwrap_or(false);
    let step = Step {
        work,
        condition,
        env,
        outputs,
        image,
        build,
        services,
        retry: retry(cursor, idempotent),
        timeout: cursor.parse("timeout", duration::parse).unwrap_or(shared.defaults.timeout),
        idempotent,
        concurrency: cursor.parse("concurrency", parse_count),
        environment: cursor.text_at("environment"),
        network: network(cursor, problems).unwrap_or_else(|| shared.defaults.network.clone()),
        resources: resources(cursor).unwrap_or_else(|| shared.defaults.resources.clone()),
        name,
        needs,
        matrix,
    };
    services::have_a_network_of_their_own(cursor, &step.network, problems);
    deploy_is_only_a_deploy(cursor, problems);
    step
}

fn needs(name: &str, cursor: &Cursor<'_>, shared: &Shared<'_>, problems: &mut Problems<'_>) -> Vec<String> {
    let mut needs: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for item in cursor.key("needs").map(|list| list.items()).unwrap_or_default() {
        let Some(need) = item.text() else { continue };
        if need == name {
            problems.error("cycle", &item.route, Part::Value, format!("{name:?} needs itself"), "leads back here");
        } else if !shared.steps.contains_key(&need) {
            problems.error("unknown-step", &item.route, Part::Value, format!("there is no step {need:?}"), "expected a step of this file");
            problems.suggest(&need, shared.scope.all_steps.iter().copied());
        } else if !seen.insert(need.clone()) {
            problems.error("duplicate", &item.route, Part::Value, format!("{need:?} stands here twice"), "given again");
        } else {
            needs.push(need);
        }
    }
    needs
}

fn check_matrix(cursor: &Cursor<'_>, matrix: &[(String, Vec<String>)], problems: &mut Problems<'_>) {
    let Some(at) = cursor.key("matrix") else { return };
    let size = matrix.iter().map(|(_, values)| values.len()).fold(1_usize, usize::saturating_mul);
    if size > MAX_MATRIX {
        problems.error(
            "matrix-too-large",
            &at.route,
            Part::Key,
            format!("this matrix has {size} combinations, at most {MAX_MATRIX} are run"),
            "too many combinations",
        );
    }
    for (key, values) in matrix {
        let route = at.route.key(key);
        if values.is_empty() {
            problems.error("invalid-value", &route, Part::Key, format!("{key:?} has no values"), "expected at least one");
        }
        let mut seen = std::collections::HashSet::new();
        for (index, value) in values.iter().enumerate() {
            if !seen.insert(value) {
                problems.error("duplicate", &route.index(index), Part::Value, format!("{value:?} stands here twice"), "given again");
            }
        }
    }
}

fn outputs(cursor: &Cursor<'_>) -> Vec<OutputDeclaration> {
    let declare = |(name, path): (String, Cursor<'_>)| {
        Some(OutputDeclaration { name, path: path.text()?.trim_start_matches("./").trim_end_matches('/').to_owned() })
    };
    cursor.entries_at("outputs").into_iter().filter_map(declare).collect()
}

fn retry(cursor: &Cursor<'_>, idempotent: bool) -> Retry {
    let mut retry = Retry { after_start: idempotent, ..Retry::default() };
    let Some(cursor) = cursor.key("retry") else { return retry };
    retry.attempts = cursor.parse("attempts", parse_count).unwrap_or(retry.attempts);
    retry.delay = cursor.parse("delay", duration::parse).unwrap_or(retry.delay);
    if let Some(words) = cursor.texts_at("on") {
        let reason = |word: &String| match word.as_str() {
            "infrastructure" => Some(RetryOn::Infrastructure),
            "timeout" => Some(RetryOn::Timeout),
            "failed" => Some(RetryOn::Failed),
            _ => None,
        };
        retry.on = words.iter().filter_map(reason).collect();
        retry.after_start |= retry.on.contains(&RetryOn::Infrastructure);
    }
    retry
}

fn work(
    cursor: &Cursor<'_>,
    shared: &Shared<'_>,
    scope: &Scope<'_>,
    needs: &[String],
    outputs: &mut Vec<OutputDeclaration>,
    problems: &mut Problems<'_>,
) -> StepWork {
    let (run, uses, deploy) = (cursor.key("run"), cursor.key("uses"), cursor.key("deploy"));
    if [&run, &uses, &deploy].into_iter().flatten().count() != 1 && understood(cursor) {
        let found = [("run", &run), ("uses", &uses), ("deploy", &deploy)]
            .into_iter()
            .filter(|(_, key)| key.is_some())
            .map(|(name, _)| name)
            .collect::<Vec<_>>();
        let message = if found.is_empty() {
            "this step does nothing".to_owned()
        } else {
            format!("a step does one thing, this one has {}", found.join(" and "))
        };
        problems.error("no-work", &cursor.route, Part::Key, message, "expected one of run, uses, deploy");
    }
    for key in ["with", "gate"] {
        if let (None, Some(at)) = (&uses, cursor.key(key)) {
            problems.error("conflicting-keys", &at.route, Part::Key, format!("{key} belongs to uses"), "has no meaning without uses");
        }
    }
    if let Some(uses) = uses {
        return action_use(cursor, &uses, shared, scope, outputs, problems);
    }
    if let Some(deploy) = deploy {
        return deploy_work(&deploy, shared, needs, problems);
    }
    StepWork::Run(run.map(|run| texts::script(&run, scope, problems)).unwrap_or_default())
}

/// Whether all keys of a step are known: else what it does may stand behind a misspelt one.
fn understood(step: &Cursor<'_>) -> bool {
    step.is_map() && step.entries().iter().all(|(name, _)| super::super::format::STEP.iter().any(|key| key.name == name))
}

fn deploy_work(cursor: &Cursor<'_>, shared: &Shared<'_>, needs: &[String], problems: &mut Problems<'_>) -> StepWork {
    let function = cursor.text_at("function").unwrap_or_default();
    if let (false, Some(at)) = (shared.functions.contains(&function.as_str()), cursor.key("function")) {
        problems.error("unknown-function", &at.route, Part::Value, format!("there is no function {function:?}"), "expected a function of this file");
        problems.suggest(&function, shared.functions.iter().copied());
    }
    let (step, output) = cursor.parse("artifact", names::artifact).unwrap_or_default();
    if let (Some(at), false) = (cursor.key("artifact"), step.is_empty()) {
        if !shared.steps.contains_key(&step) {
            problems.error("unknown-step", &at.route, Part::Value, format!("there is no step {step:?}"), "expected STEP.OUTPUT");
            problems.suggest(&step, shared.scope.all_steps.iter().copied());
        } else if !needs.contains(&step) {
            problems.error("unknown-name", &at.route, Part::Value, format!("this step does not need {step:?}"), "its outputs are not there");
            problems.hint(format!("add {step} to needs"));
        } else if shared.steps.get(&step).is_some_and(|needed| needed.many) {
            problems.error(
                "unknown-output",
                &at.route,
                Part::Value,
                format!("{step:?} has a matrix, so it has no single output"),
                "expected an output of a step without matrix",
            );
        }
    }
    StepWork::Deploy { function, step, output }
}

/// Keys of a step that say how a script runs.
fn deploy_is_only_a_deploy(cursor: &Cursor<'_>, problems: &mut Problems<'_>) {
    if cursor.key("deploy").is_none() {
        return;
    }
    for key in ["env", "outputs", "retry", "idempotent", "matrix", "network", "resources", "image", "build", "inputs", "cache", "services"] {
        if let Some(at) = cursor.key(key) {
            problems.error("conflicting-keys", &at.route, Part::Key, format!("{key} has no meaning for a deploy"), "a deploy runs no script");
        }
    }
}

fn action_use(
    cursor: &Cursor<'_>,
    uses: &Cursor<'_>,
    shared: &Shared<'_>,
    scope: &Scope<'_>,
    outputs: &mut Vec<OutputDeclaration>,
    problems: &mut Problems<'_>,
) -> StepWork {
    let name = uses.text().unwrap_or_default();
    let nothing =
        |name: String| StepWork::Use(ActionUse { name, script: Template::default(), env: BTreeMap::new(), inputs: BTreeMap::new(), gate: None });
    let with = cursor.key("with");
    let given: BTreeMap<String, Template> = with
        .iter()
        .flat_map(Cursor::entries)
        .map(|(name, value)| {
            let text = texts::template(&value, scope, problems);
            (name, text)
        })
        .collect();
    if name.contains('@') {
        problems.later(&uses.route, Part::Value, "actions of other repositories");
        return nothing(name);
    }
    let action: Action = match (shared.actions)(&name).map(|text| action::load(&name, &text)) {
        None => {
            problems.error("unknown-action", &uses.route, Part::Value, format!("there is no action {name:?}"), "could not be found");
            problems.hint("Tidegate's own actions go by their name (secret-scan), those of this repository by their folder (./path)");
            return nothing(name);
        }
        Some(Err(errors)) => {
            for error in errors {
                let at = error.span.map(|span| format!(":{}:{}", span.line, span.column)).unwrap_or_default();
                problems.error(
                    "invalid-action",
                    &uses.route,
                    Part::Value,
                    format!("the action {name} is not valid: {}{at}: {}", action::file_of(&name), error.message),
                    "used here",
                );
            }
            return nothing(name);
        }
        Some(Ok(action)) => action,
    };
    for (input, value) in with.iter().flat_map(Cursor::entries) {
        let Some(known) = action.inputs.iter().find(|known| known.name == input) else {
            problems.error("unknown-input", &value.route, Part::Key, format!("{name} has no input {input:?}"), "not an input of this action");
            problems.suggest(&input, action.inputs.iter().map(|known| known.name.as_str()));
            continue;
        };
        if let Some(Err(why)) = given.get(&input).and_then(Template::as_text).map(|text| known.accept(&text)) {
            problems.error("invalid-value", &value.route, Part::Value, format!("{input:?} does not fit: {why}"), "not a value of this input");
        }
    }
    for missing in action.inputs.iter().filter(|known| known.required && !given.contains_key(&known.name)) {
        let route = with.as_ref().map_or(&uses.route, |with| &with.route);
        problems.error(
            "missing-input",
            route,
            Part::Key,
            format!("{name} needs the input {:?}", missing.name),
            format!("needs with: {{ {}: … }}", missing.name),
        );
    }
    let takes_gate = action.inputs.iter().any(|input| input.name == "fail");
    let gate = gate(cursor, takes_gate, problems);
    let mut inputs: BTreeMap<String, Template> =
        action.inputs.iter().map(|known| (known.name.clone(), Template::literal(known.fallback().unwrap_or_default()))).collect();
    inputs.extend(given);
    if let (Some(severity), true) = (gate, takes_gate) {
        inputs.insert("fail".into(), Template::literal(severity.word()));
    }
    outputs.extend(action.outputs.into_iter().filter(|declared| !outputs.iter().any(|own| own.name == declared.name)).collect::<Vec<_>>());
    let env: BTreeMap<String, EnvSource> = action.env;
    StepWork::Use(ActionUse { name, script: action.script, env, inputs, gate })
}

/// An action with an input `fail` holds its findings against the gate itself.
fn gate(cursor: &Cursor<'_>, takes_gate: bool, problems: &mut Problems<'_>) -> Option<Severity> {
    let gate = cursor.key("gate")?;
    if !takes_gate {
        problems.later(&gate.route, Part::Key, "gate, but for actions with an input fail");
    }
    match gate.text_at("fail")?.as_str() {
        "low" => Some(Severity::Low),
        "medium" => Some(Severity::Medium),
        "high" => Some(Severity::High),
        "critical" => Some(Severity::Critical),
        _ => None,
    }
}
