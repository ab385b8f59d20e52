//! A run that is asked for once more: all of it, what failed, or one step. The plan is the one that was made then, with what it was trusted with.

use serde_json::Value;

use super::{AskError, Asking, Seed};
use crate::adapters::journal::Journal as _;
use crate::core::plan::Plan;
use crate::core::run::{NotRepeated, Repeat, Run};
use crate::core::trust;
use crate::model::event::Actor;
use crate::model::fact::{Fact, Stream};
use crate::model::id::RunId;
use crate::model::request::{Again, RequestFact};
use crate::model::trigger::Repository;
use crate::runtime::ids;
use crate::runtime::recover::run_facts;

impl Asking {
    /// Who did it first and who asks again have both started it: neither can approve it alone.
    pub async fn again(&self, run: &RunId, what: &Repeat, seed: &Seed, by: &Actor) -> Result<RunId, AskError> {
        let entries = self.journal.read(&Stream::Request(run.clone())).await?;
        let Some(Fact::Request(asked @ RequestFact::Asked { .. })) = entries.into_iter().next().map(|entry| entry.fact) else {
            return Err(AskError::Unknown(format!("run {run} was not asked for through this server: start it anew")));
        };
        let RequestFact::Asked { run: _, pipeline, mut event, plan, trust, url, group, priority, approval: _, again: _ } = asked else {
            return Err(AskError::Unknown(format!("the request for run {run} is damaged")));
        };
        if plan.is_null() {
            return Err(AskError::Refused(format!("run {run} had no plan, as its pipeline file is not valid: push a better one")));
        }
        let facts = run_facts(&self.journal.read(&Stream::Run(run.clone())).await?);
        let earlier = Run::replay(&facts).map_err(|_| AskError::Refused(format!("run {run} has not begun")))?;
        let keep = earlier.keeps(what).map_err(|why| match why {
            NotRepeated::NoStep { .. } => AskError::Unknown(why.to_string()),
            NotRepeated::Going(_) | NotRepeated::Missing(_) => AskError::Refused(why.to_string()),
        })?;
        self.is_still_so(run, &event).await?;
        let plan = asked_by(plan, by).map_err(|why| AskError::Unknown(format!("the plan of run {run} is damaged: {why}")))?;
        event.context.again = Some(by.clone());
        let id = ids::asked(seed.at, &[&seed.name, "again", run.as_str()]);
        let again = Some(Again { run: run.clone(), keep });
        let asked = RequestFact::Asked { run: id.clone(), pipeline, event, plan, trust, url, group, priority, approval: None, again };
        self.dispatcher.ask(asked).await?;
        Ok(id)
    }

    /// Of a pull request only its head is run again: what was approved once is not approved for ever.
    async fn is_still_so(&self, run: &RunId, event: &crate::model::event::Event) -> Result<(), AskError> {
        let (Some(pull), Some(github)) = (&event.context.pull, &self.github) else { return Ok(()) };
        let Some(known) = self.mirrors.known(&event.repository) else { return Ok(()) };
        let now = github.pull(&Self::place(&Repository::from(known)), pull.number).await?;
        let head = now.open.then_some(&now.commit);
        match trust::void(event, head) {
            Some(why) => Err(AskError::Refused(format!("run {run} is not run again: {why}"))),
            None => Ok(()),
        }
    }
}

fn asked_by(plan: Value, by: &Actor) -> Result<Value, serde_json::Error> {
    let mut plan: Plan = serde_json::from_value(plan)?;
    plan.event.context.again = Some(by.clone());
    serde_json::to_value(&plan)
}
