//! Finds steps that wait for one another for ever.

use std::collections::HashMap;

use super::super::pipeline::Step;
use super::super::places::{Part, Places};
use super::super::problems::Problems;
use super::super::route::Route;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Names every cycle that a walk from each step finds. No recursion: a chain may have thousands of links.
pub fn report(steps: &[Step], places: &Places, problems: &mut Problems<'_>) {
    let index: HashMap<&str, usize> = steps.iter().enumerate().map(|(index, step)| (step.name.as_str(), index)).collect();
    let needs: Vec<Vec<usize>> = steps.iter().map(|step| step.needs.iter().filter_map(|need| index.get(need.as_str()).copied()).collect()).collect();
    let mut marks = vec![Mark::New; steps.len()];
    for start in 0..steps.len() {
        // Each element: a step, and which of its needs comes next.
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        while let Some((at, next)) = path.last_mut() {
            let Some(&need) = needs[*at].get(*next) else {
                marks[*at] = Mark::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match marks[need] {
                Mark::Done => {}
                Mark::New => {
                    marks[need] = Mark::Open;
                    path.push((need, 0));
                }
                Mark::Open => {
                    let from = path.iter().position(|(step, _)| *step == need).unwrap_or(0);
                    let cycle: Vec<usize> = path[from..].iter().map(|(step, _)| *step).collect();
                    say(&cycle, steps, places, problems);
                }
            }
        }
    }
}

fn say(cycle: &[usize], steps: &[Step], places: &Places, problems: &mut Problems<'_>) {
    const SHOWN: usize = 12;
    let name = |at: usize| steps.get(at).map_or("", |step| step.name.as_str());
    let link = |position: usize| {
        let (from, to) = (name(cycle[position]), name(cycle[(position + 1) % cycle.len()]));
        let needs = Route::root().key("steps").key(from).key("needs");
        let index = steps.get(cycle[position]).and_then(|step| step.needs.iter().position(|need| need == to)).unwrap_or(0);
        // `needs: a` has no list to look into.
        let item = needs.index(index);
        (from, to, if places.text(&item).is_some() { item } else { needs })
    };
    let mut names: Vec<&str> = cycle.iter().take(SHOWN).map(|at| name(*at)).collect();
    if cycle.len() > SHOWN {
        names.push("…");
    }
    names.push(name(cycle[0]));
    let (_, _, route) = link(0);
    problems.error(
        "cycle",
        &route,
        Part::Value,
        format!("these steps wait for one another for ever: {}", names.join(" → ")),
        format!("{} needs {}", names[0], names[1]),
    );
    for position in 1..cycle.len().min(SHOWN) {
        let (from, to, route) = link(position);
        let at = places.span(&route, &Part::Value).map(|span| format!(" in line {}, column {}", span.line, span.column)).unwrap_or_default();
        problems.hint(format!("{from} needs {to}{at}"));
    }
    problems.hint("take one of these needs away");
}
