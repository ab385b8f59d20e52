//! Schedules: `on.schedule` of the pipelines in the default branches of all repositories that are known here.
//!
//! Until when schedules were looked at is on disk, for each repository, after what was due has been asked for. A process that dies between the two asks again, and as the id of a
//! request follows from the moment that it is for, nothing is asked for twice.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::alone::alone;
use super::asking::{AskError, Asking, Authority, Seed, SharedAsking};
use super::clock;
use super::hub::{Hub, Told};
use crate::adapters::source::mirror::Known;
use crate::adapters::state::StateFolder;
use crate::core::schedule;
use crate::core::spec::Triggers;
use crate::model::event::{Context, Event, EventKind};
use crate::model::id::CommitId;
use crate::model::time::Timestamp;
use crate::model::trigger::Repository;

/// How often one looks. A moment is a minute: this is how late a run may be asked for.
const LOOK: Duration = Duration::from_secs(5);

/// Pipeline files with their expressions.
type Plan = Vec<(String, Vec<String>)>;

#[derive(Debug)]
pub struct Schedule {
    asking: SharedAsking,
    hub: Hub,
    path: PathBuf,
    /// By repository.
    looked: BTreeMap<String, Timestamp>,
    /// What the newest commit of a default branch has for schedules: file, expressions.
    plans: BTreeMap<String, (CommitId, Plan)>,
}

impl Schedule {
    pub fn open(state: &StateFolder, asking: SharedAsking, hub: Hub) -> Self {
        let path = state.root().join("schedules.json");
        let looked = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { asking, hub, path, looked, plans: BTreeMap::new() }
    }

    /// Never ends.
    pub async fn run(mut self) {
        loop {
            self.look(clock::now()).await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Asks for everything that is due. What a mistake of ours shows at is left out, and the others are not.
    pub async fn look(&mut self, now: Timestamp) {
        let mut changed = false;
        for known in self.asking.mirrors.all_known() {
            let repository = Repository::from(known);
            let Some(after) = self.looked.get(&repository.name).copied() else {
                // It is new here: its schedules begin now.
                self.looked.insert(repository.name.clone(), now);
                changed = true;
                continue;
            };
            match self.one(&repository, after, now).await {
                Ok(true) => {
                    self.looked.insert(repository.name.clone(), now.max(after));
                    changed = true;
                }
                Ok(false) => {}
                Err(why) => self.hub.tell(Told::Note(format!("schedules of {} wait: {why}", repository.name))),
            }
        }
        if changed && let Err(error) = self.write() {
            self.hub.tell(Told::Note(format!("{} can not be written: {error}", self.path.display())));
        }
    }

    /// Whether what was due of one repository has been asked for, or given up.
    async fn one(&mut self, repository: &Repository, after: Timestamp, now: Timestamp) -> Result<bool, String> {
        let reference = format!("refs/heads/{}", repository.default_branch);
        let Some(head) = self.asking.mirrors.resolve(&repository.name, &reference) else { return Ok(false) };
        let mistake = |why: String| self.hub.tell(Told::Note(format!("schedules of {}: a mistake of Tidegate's own: {why}", repository.name)));
        let plan = match self.plans.get(&repository.name) {
            Some((commit, plan)) if *commit == head => plan.clone(),
            _ => {
                let (asking, name, at) = (self.asking.clone(), repository.name.clone(), head.clone());
                let plan = alone(async move { plan(&asking, &name, &at) }).await;
                // It is not made again and again: the next commit may be another one.
                let plan = plan.unwrap_or_else(|why| {
                    mistake(why);
                    Vec::new()
                });
                self.plans.insert(repository.name.clone(), (head, plan.clone()));
                plan
            }
        };
        let asked = alone(ask(self.asking.clone(), self.hub.clone(), repository.clone(), plan, (after, now))).await;
        match asked {
            Ok(asked) => asked.map_err(|error| error.to_string()),
            Err(why) => {
                mistake(why);
                Ok(true)
            }
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let folder = self.path.parent().unwrap_or(&self.path);
        let mut file = tempfile::Builder::new().prefix(".tmp").tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec(&self.looked).map_err(std::io::Error::other)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// What a commit of the default branch has for schedules. What is not valid has none: whoever pushed it was told.
fn plan(asking: &Asking, repository: &str, at: &CommitId) -> Plan {
    let triggers = asking.triggers(repository, at).into_iter().filter(|(_, on)| !on.schedule.is_empty());
    triggers.map(|(file, Triggers { schedule, .. })| (file, schedule)).collect()
}

/// Whether anything was due.
async fn ask(asking: SharedAsking, hub: Hub, repository: Repository, plan: Plan, (after, now): (Timestamp, Timestamp)) -> Result<bool, AskError> {
    let mut any = false;
    for (file, crons) in plan {
        for cron in crons {
            let (moments, left_out) = schedule::due(&cron, after, now);
            if left_out > 0 {
                hub.tell(Told::Note(format!("{}: {file}: {left_out} runs of \"{cron}\" were missed and are not made up for", repository.name)));
            }
            for moment in moments {
                any = true;
                let seed = Seed { at: moment, name: format!("schedule {cron}") };
                match asking.event(&repository, event(&repository), &seed, Some(&file), Authority::Forge, &[]).await {
                    // The newest commit may not have the file any more.
                    Ok(_) | Err(AskError::Unknown(_)) => {}
                    Err(error) if error.is_passing() => return Err(error),
                    Err(error) => hub.tell(Told::Note(format!("{}: {file}: {error}", repository.name))),
                }
            }
        }
    }
    Ok(any)
}

/// Which commit it is, is asked when it is due.
fn event(repository: &Repository) -> Event {
    let context = Context { default_branch: Some(repository.default_branch.clone()), installation: repository.installation, ..Context::default() };
    Event {
        kind: EventKind::Schedule,
        repository: repository.name.clone(),
        reference: format!("refs/heads/{}", repository.default_branch),
        branch: Some(repository.default_branch.clone()),
        commit: CommitId::new(""),
        subject: String::new(),
        author: String::new(),
        changed: None,
        params: BTreeMap::new(),
        context,
    }
}

/// For those who start something by hand.
pub fn manual(known: Known, reference: String, commit: CommitId, params: BTreeMap<String, String>, context: Context) -> Event {
    let repository = Repository::from(known);
    let branch = reference.strip_prefix("refs/heads/").map(str::to_owned);
    Event { kind: EventKind::Manual, reference, branch, commit, params, context, ..event(&repository) }
}
