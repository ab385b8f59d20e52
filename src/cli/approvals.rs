//! What a person at the machine says about environments: ahead of a run, or to one that waits.

use crate::adapters::state::StateFolder;
use crate::core::plan::{Condition, Plan};
use crate::core::run::Run;
use crate::model::id::RunId;
use crate::model::policy::{Verdict, Voice, Word};
use crate::runtime::words::words;

/// Whether all that this plan needs approved has been. Nobody is asked in the middle of a run: who starts one at a terminal knows what it deploys to.
pub fn are_given(plan: &Plan, given: &[String]) -> Result<(), String> {
    let open = |node: &&crate::core::plan::Node| !matches!(node.condition, Condition::Never { .. });
    let gates = || plan.nodes.iter().filter(open).filter_map(|node| Some((node, node.environment.as_ref()?)));
    for name in given {
        if !gates().any(|(_, gate)| gate.environment == *name) {
            return Err(format!("no step of this plan deploys to {name:?}: leave --approve {name} out"));
        }
    }
    let needs = |gate: &crate::model::policy::Gate| gate.protection.as_ref().is_some_and(|protection| protection.approvers.is_some());
    match gates().find(|(_, gate)| needs(gate) && !given.contains(&gate.environment)) {
        None => Ok(()),
        Some((node, gate)) => Err(format!(
            "the step {} deploys to {environment}, which needs somebody's approval: --approve {environment} says that you mean it",
            node.id,
            environment = gate.environment
        )),
    }
}

/// Ahead of a run: heard when it is needed.
pub fn say(state: &StateFolder, run: &RunId, environments: &[String]) -> Result<(), String> {
    for environment in environments {
        let word = Word { environment: Some(environment.clone()), node: None, by: me(), verdict: Verdict::Approve, ahead: true };
        let words = words(state).map_err(|error| error.to_string())?;
        words.say(run, &word).map_err(|error| format!("{} can not be told: {error}", run))?;
    }
    Ok(())
}

/// What somebody at the machine says to a run that waits for this environment.
pub fn word(environment: &str, verdict: &Verdict) -> Word {
    Word { environment: Some(environment.to_owned()), node: None, by: me(), verdict: verdict.clone(), ahead: false }
}

/// What a word is about: what is named, or the only environment that the run waits for.
pub fn environments(run: &Run, wanted: Option<&str>) -> Result<Vec<String>, String> {
    if let Some(outcome) = run.outcome() {
        return Err(format!("run {} has ended already ({})", run.id(), outcome.word()));
    }
    let mut waiting: Vec<String> = run.unapproved().into_iter().map(|(_, environment)| environment.to_owned()).collect();
    waiting.sort();
    waiting.dedup();
    match (wanted, waiting.as_slice()) {
        (_, []) => Err(format!("nothing in run {} waits for approval", run.id())),
        (Some(wanted), _) if !waiting.iter().any(|one| one == wanted) => {
            Err(format!("nothing in run {} waits for {wanted:?}: what waits is for {}", run.id(), waiting.join(", ")))
        }
        (Some(wanted), _) => Ok(vec![wanted.to_owned()]),
        (None, [_]) => Ok(waiting),
        (None, _) => Err(format!("run {} waits for several: say --environment with one of {}", run.id(), waiting.join(", "))),
    }
}

/// Only a name for the record: who can write into the state folder is believed.
fn me() -> Voice {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "somebody".to_owned());
    Voice::Machine { user }
}
