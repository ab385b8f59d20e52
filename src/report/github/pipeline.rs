//! The check of the whole run, and its line in the comment of a pull request.

use serde_json::{Value, json};

use crate::core::usage::{Usage, decimal};
use crate::model::check::{Action, Check, CheckState, Conclusion, Line};
use crate::model::outcome::RunOutcome;
use crate::report::rollout::{self, Look};
use crate::report::run::found::counted;
use crate::report::run::text::{bytes, count, duration};
use crate::report::run::usage::attempts;
use crate::report::run::view::{NodeView, Status, View, reason};

use super::text::{code, fenced, plain};
use super::words::{MOST_ROWS, TITLE, artifacts, blocked, result, run_conclusion, sign, state, took};
use super::{Name, Scene};

/// Bytes of the summary of one rollout.
const MOST_ROLLOUT: usize = 4_000;

pub(super) fn check(scene: &Scene<'_>) -> Check {
    let view = scene.view;
    let state = run_state(scene);
    Check {
        external: scene.external(None),
        name: name(&view.pipeline),
        state,
        started: view.started,
        ended: view.ended.map(|(at, _)| at),
        title: title(scene),
        summary: scene.house.templates.render(Name::Run, &data(scene, state)),
        text: String::new(),
        annotations: Vec::new(),
        actions: actions(scene),
        details: scene.house.link(scene.run),
    }
}

/// `tidegate / PIPELINE`.
pub(super) fn name(pipeline: &str) -> String {
    format!("tidegate / {}", plain(pipeline, TITLE))
}

fn run_state(scene: &Scene<'_>) -> CheckState {
    match scene.view.ended {
        Some((_, outcome)) => CheckState::Done(run_conclusion(outcome, &scene.view.nodes)),
        None => CheckState::Running,
    }
}

/// Our own words and numbers only.
fn title(scene: &Scene<'_>) -> String {
    let view = scene.view;
    let counts: Vec<String> = view.counts().into_iter().map(|(word, n)| format!("{n} {word}")).collect();
    let counts = counts.join(", ");
    match view.ended {
        Some((at, outcome)) => {
            let took = duration(at.since(view.started.unwrap_or(at)));
            format!("{} in {took}: {counts}", outcome_words(outcome))
        }
        None if view.cancel.is_some() => format!("Stopping: {counts}"),
        None if is_held(view) => format!("Waiting for approval: {counts}"),
        None => format!("Running: {counts}"),
    }
}

/// Nothing goes on before somebody has said something.
fn is_held(view: &View) -> bool {
    let waits = |node: &NodeView| matches!(node.status, Status::Held { approval: true, .. });
    let moves = |node: &NodeView| matches!(node.status, Status::Queued | Status::Running | Status::Deploying | Status::BackingOff { .. });
    view.nodes.iter().any(waits) && !view.nodes.iter().any(moves)
}

fn outcome_words(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Succeeded => "Succeeded",
        RunOutcome::Failed => "Failed",
        RunOutcome::Cancelled => "Cancelled",
        RunOutcome::Interrupted => "Interrupted (Tidegate itself has died)",
        RunOutcome::Infrastructure => "Infrastructure trouble, not the commit's doing",
    }
}

fn data(scene: &Scene<'_>, state: CheckState) -> Value {
    let view = scene.view;
    let nodes: Vec<Value> = ranked(&view.nodes).into_iter().map(row).collect();
    let ended = view.ended.map(|(at, outcome)| (outcome_words(outcome), duration(at.since(view.started.unwrap_or(at)))));
    let rollouts: Vec<Value> = view
        .nodes
        .iter()
        .filter_map(|node| scene.pictures.get(node.rollout.as_ref()?))
        .map(|picture| json!({ "name": code(picture.function()), "text": rollout_text(picture) }))
        .collect();
    let all = view.nodes.iter().flat_map(|node| node.artifacts.iter().map(|artifact| (format!("{}.{}", node.id, artifact.name), artifact)));
    let network: Vec<Value> = view
        .nodes
        .iter()
        .filter_map(|node| Some((node, blocked(&node.record.as_ref()?.egress))))
        .filter(|(_, blocked)| !blocked.is_empty())
        .take(MOST_ROWS)
        .map(|(node, blocked)| json!({ "name": code(&node.name), "what": blocked.join(", ") }))
        .collect();
    json!({
        "sign": sign(state),
        "result": ended.as_ref().map_or("Running", |(word, _)| word),
        "took": ended.map(|(_, took)| took),
        "subject": subject(scene),
        "cancel": view.cancel.as_deref().map(code),
        "more": view.nodes.len().saturating_sub(MOST_ROWS),
        "nodes": nodes,
        "rollouts": rollouts,
        "artifacts": artifacts(all),
        "network": network,
        "usage": usage(scene),
        "hint": format!("Run {}: {}", code(scene.run.as_str()), code(&format!("tidegate runs show {}", scene.run))),
    })
}

/// Those that went wrong first, where there are too many for a table; else in the plan's order.
fn ranked(nodes: &[NodeView]) -> Vec<&NodeView> {
    let mut all: Vec<&NodeView> = nodes.iter().collect();
    if all.len() > MOST_ROWS {
        all.sort_by_key(|node| match &node.status {
            Status::Ended(outcome) if !outcome.is_success() && outcome.word() != "skipped" => 0,
            Status::Running | Status::Deploying | Status::BackingOff { .. } => 1,
            _ => 2,
        });
        all.truncate(MOST_ROWS);
    }
    all
}

fn row(node: &NodeView) -> Value {
    let why = match &node.status {
        Status::Ended(outcome) => reason(outcome).filter(|_| node.rollout.is_none()).map(|why| format!(": {}", code(&why))),
        Status::Held { environment, approval: true, .. } => Some(format!(": {}", code(environment))),
        _ => None,
    };
    let again = if node.attempt > 1 { format!(" (attempt {})", node.attempt) } else { String::new() };
    let found = node.record.as_ref().and_then(|record| counted(&record.found)).map_or_else(String::new, |counted| format!(" ({counted})"));
    let result = format!("{}{}{again}{found}", result(&node.status), why.unwrap_or_default());
    json!({ "sign": sign(state(&node.status)), "name": code(&node.name), "result": result, "took": took(node) })
}

pub(super) fn rollout_text(picture: &rollout::Picture) -> String {
    // While it moves its numbers change all the time: what it has come to is said at every stage.
    let text = match picture.outcome() {
        Some(_) => rollout::summary(picture, Look { width: 90, colour: false }),
        None => super::deployment::now(picture),
    };
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    fenced(&lines, MOST_ROLLOUT)
}

fn subject(scene: &Scene<'_>) -> String {
    let event = scene.event;
    let parts = [event.branch.as_deref().unwrap_or(""), event.commit.short(), &event.subject];
    parts.into_iter().map(code).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn usage(scene: &Scene<'_>) -> Option<String> {
    let prices = &scene.house.prices;
    let all = Usage::sum(attempts(scene.known.run.iter().map(|(_, fact)| fact)).iter().map(|attempt| attempt.usage));
    if all.invocations == 0 || scene.view.ended.is_none() {
        return None;
    }
    let mut parts = vec![count(usize::try_from(all.invocations).unwrap_or(usize::MAX), "invocation")];
    parts.extend(all.cpu_us.map(|cpu| format!("{} of processor time", duration(std::time::Duration::from_micros(cpu)))));
    parts.extend(all.peak_memory_bytes.map(|peak| format!("at most {} of memory", bytes(peak))));
    parts.extend(all.gb_seconds().map(|amount| format!("{} GB-seconds", decimal(amount, 3))));
    if all.unmeasured > 0 {
        parts.push(format!("{} of them not measured", all.unmeasured));
    }
    if let Some(cost) = all.cost(prices) {
        let currency = prices.currency.as_deref().map(|currency| format!(" {}", code(currency))).unwrap_or_default();
        parts.push(format!("cost {}{currency}", decimal(cost, 6)));
    }
    Some(parts.join(" · "))
}

fn actions(scene: &Scene<'_>) -> Vec<Action> {
    let moving = scene.view.nodes.iter().any(|node| node.status == Status::Deploying);
    match scene.view.ended {
        None if moving => vec![Action::Promote, Action::RollBack, Action::Cancel],
        None => vec![Action::Cancel],
        Some((_, RunOutcome::Succeeded)) => vec![Action::Rerun],
        Some(_) => vec![Action::RerunFailed, Action::Rerun],
    }
}

pub(super) fn line(scene: &Scene<'_>) -> Option<Line> {
    let pull = scene.event.context.pull.as_ref()?;
    let state = run_state(scene);
    let result = match scene.view.ended {
        Some((at, outcome)) => format!("{} in {}", outcome.word(), duration(at.since(scene.view.started.unwrap_or(at)))),
        None if is_held(scene.view) => "waiting for approval".to_owned(),
        None => "running".to_owned(),
    };
    let counts: Vec<String> = scene.view.counts().into_iter().map(|(word, n)| format!("{n} {word}")).collect();
    Some(row_of(scene.house, scene.run, &scene.view.pipeline, scene.event, pull.number, state, &result, &counts.join(", ")))
}

#[expect(clippy::too_many_arguments, reason = "the cells of one row")]
pub(super) fn row_of(
    house: &super::House,
    run: &crate::model::id::RunId,
    pipeline: &str,
    event: &crate::model::event::Event,
    pull: u64,
    state: CheckState,
    result: &str,
    steps: &str,
) -> Line {
    let name = code(pipeline);
    // The link is the house's own, and of plain characters.
    let name = house.link(run).map_or_else(|| name.clone(), |link| format!("[{name}]({link})"));
    let row = format!("| {} | {name} | {result} | {steps} | {} |", sign(state), code(event.commit.short()));
    Line { pull, pipeline: plain(pipeline, TITLE), commit: event.commit.clone(), row }
}

/// For what has not begun.
pub(super) fn waiting(conclusion: Option<Conclusion>) -> CheckState {
    conclusion.map_or(CheckState::Queued, CheckState::Done)
}
