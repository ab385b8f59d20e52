//! A plan for people: what would run, in which order, what would not and why, and how traffic would move.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::core::plan::{Condition, Deploy, Invoke, Node, Plan, Work};
use crate::core::spec::fields::duration;
use crate::core::template::Part;
use crate::model::limits::Network;
use crate::model::traffic::Weight;

use super::diagnostics::Look;

/// Longest list of needs that is written out.
const NEEDS: usize = 6;

pub fn render(plan: &Plan, look: Look) -> String {
    let paint = |style: Style, text: &str| if look.color { format!("{style}{text}{style:#}") } else { text.to_owned() };
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    let mut out = String::new();
    let _ = writeln!(out, "{} {}", paint(bold, &clean(&plan.pipeline)), paint(dim, &format!("({})", clean(&plan.file))));
    let _ = writeln!(out, "{}", event_line(plan));
    let width = plan.nodes.iter().map(|node| node.id.as_str().chars().count()).max().unwrap_or(0).min(40);
    for node in &plan.nodes {
        let never = matches!(node.condition, Condition::Never { .. });
        let (mark, style) = if never { ("-", dim) } else { ("•", AnsiColor::Green.on_default()) };
        let name = clean(node.id.as_str());
        let line = format!("{} {name:width$}  {}", paint(style, mark), what(node));
        let _ = writeln!(out, "{}", line.trim_end());
        for detail in details(node) {
            let _ = writeln!(out, "  {}", paint(dim, &detail));
        }
    }
    let skipped = plan.nodes.iter().filter(|node| matches!(node.condition, Condition::Never { .. })).count();
    let count = if plan.nodes.len() == 1 { "1 node".to_owned() } else { format!("{} nodes", plan.nodes.len()) };
    let _ = writeln!(out, "{}", if skipped == 0 { count } else { format!("{count}, {skipped} skipped") });
    out
}

fn event_line(plan: &Plan) -> String {
    let event = &plan.event;
    let branch = event.branch.as_ref().map(|branch| format!(" on {branch}")).unwrap_or_default();
    let params: Vec<String> = event.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let params = if params.is_empty() { String::new() } else { format!(" with {}", params.join(", ")) };
    clean(&format!("{}{branch} at {}{params}", event.kind.word(), event.commit.short()))
}

fn what(node: &Node) -> String {
    match &node.work {
        Work::Deploy(deploy) => format!("deploy {} to {}", clean(&deploy.function.name), deploy.function.target.word()),
        Work::Invoke(Invoke { action: Some(action), .. }) => format!("uses {}", clean(action)),
        Work::Invoke(invoke) => first_line(invoke),
    }
}

fn first_line(invoke: &Invoke) -> String {
    let text: String = invoke
        .script
        .parts()
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Expression { source, .. } => format!("${{{{ {source} }}}}"),
        })
        .collect();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default();
    let shown: String = first.chars().take(60).collect();
    clean(&if shown.len() < first.len() || lines.next().is_some() { format!("{shown} …") } else { shown })
}

fn details(node: &Node) -> Vec<String> {
    let mut details = Vec::new();
    match &node.condition {
        Condition::Never { because } => return vec![format!("skipped: {}", clean(because))],
        Condition::Cel { source, .. } => details.push(format!("if {}", clean(source))),
        Condition::NeedsSucceeded => {}
    }
    if !node.needs.is_empty() {
        let mut needs: Vec<String> = node.needs.iter().take(NEEDS).map(|need| clean(need.as_str())).collect();
        if node.needs.len() > NEEDS {
            needs.push(format!("and {} more", node.needs.len() - NEEDS));
        }
        details.push(format!("needs {}", needs.join(", ")));
    }
    match &node.work {
        Work::Deploy(deploy) => details.extend(rollout(deploy)),
        Work::Invoke(invoke) => {
            let outputs: Vec<String> = invoke.outputs.iter().map(|output| format!("{} ({})", clean(&output.name), clean(&output.path))).collect();
            if !outputs.is_empty() {
                details.push(format!("leaves {}", outputs.join(", ")));
            }
            match &invoke.network {
                Network::None => {}
                Network::Open => details.push("network open".to_owned()),
                Network::Learn => details.push("network learn".to_owned()),
                Network::Only(rules) if rules.is_empty() => details.push("reaches nothing".to_owned()),
                Network::Only(rules) => details.push(format!("reaches {}", rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
            }
        }
    }
    details
}

fn rollout(deploy: &Deploy) -> Vec<String> {
    let policy = &deploy.policy;
    let mut stages: Vec<Weight> = policy.strategy.stages();
    stages.push(Weight::ALL);
    let stages: Vec<String> = stages.iter().map(ToString::to_string).collect();
    let judge = format!(
        "judge: errors at most {} worse, {} sure, {} requests a stage{}",
        share(policy.judge.errors.margin),
        share(policy.judge.confidence),
        policy.judge.samples,
        policy
            .judge
            .latency
            .as_ref()
            .map(|latency| format!("; slower than {} at most {} worse", duration::show(latency.over), share(latency.margin)))
            .unwrap_or_default(),
    );
    let held = policy.strategy.stages().len();
    let least = policy.hold.saturating_mul(u32::try_from(held).unwrap_or(u32::MAX));
    let mut lines = vec![
        format!("publishes {} of {}", clean(&deploy.artifact.output), clean(deploy.artifact.node.as_str())),
        format!(
            "{}: {}, each held {}, at least {} in all",
            policy.strategy.word(),
            stages.join(" → "),
            duration::show(policy.hold),
            duration::show(least)
        ),
        judge,
    ];
    if let Some(probe) = &policy.probe {
        lines.push(format!("probe: {} at {}/s", clean(&probe.path), probe.rate));
    }
    lines
}

fn share(fraction: f64) -> String {
    let text = format!("{:.4}", fraction * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Branch names and subjects come from outside: they may not move the cursor.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
