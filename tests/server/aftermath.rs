//! What is there when everything has ended: every delivery, request, run and check, each read once. A story of hundreds of deliveries is held against it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use tidegate::adapters::deliveries::{Filter, State};
use tidegate::model::delivery::Handled;
use tidegate::model::fact::{Entry, Fact, RunFact, Stream};
use tidegate::model::id::RunId;
use tidegate::model::outcome::RunOutcome;
use tidegate::model::request::RequestFact;

use crate::github::Check;
use crate::town::{SHOP, Town};

pub struct Aftermath {
    /// Delivery → the runs that it asked for.
    asked: BTreeMap<String, Vec<RunId>>,
    requests: BTreeMap<RunId, Vec<RequestFact>>,
    runs: BTreeMap<RunId, Vec<RunFact>>,
    /// By what they are about. One that is there twice is in here twice.
    checks: HashMap<String, Vec<Check>>,
    logs: PathBuf,
}

impl Aftermath {
    /// Waits until nothing waits, nothing runs, and so many checks of each run are complete.
    #[track_caller]
    pub fn of(town: &Town, runs: usize, checks: usize) -> Self {
        let waiting = || town.deliveries(Filter { waiting: Some(true), event: None }).len();
        town.until_none_is_left("the end of everything", || waiting() + town.unfinished());
        let complete = || town.github.world().checks.iter().filter(|check| check.status == "completed").count();
        town.until_none_is_left("the last check", || (runs * checks).saturating_sub(complete()));
        let (mut of_requests, mut of_runs) = (BTreeMap::new(), BTreeMap::new());
        for entry in town.journal() {
            sort(entry, &mut of_requests, &mut of_runs);
        }
        let mut found: HashMap<String, Vec<Check>> = HashMap::new();
        for check in town.github.checks(SHOP) {
            found.entry(check.external.clone()).or_default().push(check);
        }
        Self { asked: asked(town), requests: of_requests, runs: of_runs, checks: found, logs: town.world.state().join("runs") }
    }

    /// The only run that a delivery asked for.
    #[track_caller]
    pub fn asked_one(&self, delivery: &str) -> RunId {
        let runs = self.asked.get(delivery).unwrap_or_else(|| panic!("{delivery} is lost"));
        assert_eq!(runs.len(), 1, "{delivery}: {runs:?}");
        runs[0].clone()
    }

    #[track_caller]
    pub fn facts(&self, run: &RunId) -> &[RunFact] {
        self.runs.get(run).unwrap_or_else(|| panic!("{run} never began"))
    }

    pub fn checks(&self) -> usize {
        self.checks.values().map(Vec::len).sum()
    }

    /// Every delivery, request, run and check is of one of these runs.
    #[track_caller]
    pub fn nothing_else(&self, runs: &BTreeSet<RunId>) {
        assert_eq!(self.asked.len(), runs.len(), "a delivery that nobody sent");
        assert!(self.requests.keys().eq(runs), "{:?}", self.requests.keys().collect::<Vec<_>>());
        assert!(self.runs.keys().eq(runs), "{:?}", self.runs.keys().collect::<Vec<_>>());
        let about = |external: &str| RunId::new(external.split('/').next().unwrap_or_default());
        let strange: Vec<_> = self.checks.keys().filter(|external| !runs.contains(&about(external))).collect();
        assert!(strange.is_empty(), "checks of nothing: {strange:?}");
    }

    /// Asked for once, begun once, ended once, as the last word; every attempt begun once and ended once.
    #[track_caller]
    pub fn went_once(&self, run: &RunId) {
        let request = self.requests.get(run).unwrap_or_else(|| panic!("nobody asked for {run}"));
        assert!(matches!(request[..], [RequestFact::Asked { .. }, RequestFact::Begun]), "{request:#?}");
        let facts = self.facts(run);
        let count = |is: fn(&RunFact) -> bool| facts.iter().filter(|fact| is(fact)).count();
        assert_eq!(count(|fact| matches!(fact, RunFact::Started { .. })), 1, "{facts:#?}");
        assert_eq!(count(|fact| matches!(fact, RunFact::Ended { .. })), 1, "{facts:#?}");
        assert!(matches!(facts.last(), Some(RunFact::Ended { .. })), "{facts:#?}");
        let mut attempts = BTreeMap::new();
        for fact in facts {
            match fact {
                RunFact::InvocationStarted { node, attempt, .. } => attempts.entry((node, attempt)).or_insert((0, 0)).0 += 1,
                RunFact::InvocationEnded { node, attempt, .. } => attempts.entry((node, attempt)).or_insert((0, 0)).1 += 1,
                _ => {}
            }
        }
        assert!(attempts.values().all(|times| *times == (1, 1)), "{attempts:?}");
    }

    #[track_caller]
    pub fn end_of(&self, run: &RunId) -> RunOutcome {
        let facts = self.facts(run);
        facts.iter().find_map(|fact| if let RunFact::Ended { outcome } = fact { Some(*outcome) } else { None }).expect("it ended")
    }

    /// There is one check of it, at this commit, and it has never said that it ended in another way than this.
    #[track_caller]
    pub fn check(&self, external: &str, commit: &str, conclusion: &str) {
        let [check] = self.checks.get(external).map(Vec::as_slice).unwrap_or_default() else {
            panic!("{external} has not one check but these: {:#?}", self.checks.get(external));
        };
        assert_eq!((check.sha.as_str(), check.conclusion.as_deref()), (commit, Some(conclusion)), "{check:#?}");
        let ends = check.history.iter().filter(|word| !matches!(word.as_str(), "queued" | "in_progress"));
        assert!(ends.eq([conclusion]), "{check:#?}");
    }

    /// All that a step said, in all its attempts.
    pub fn said(&self, run: &RunId, step: &str) -> String {
        let attempts = self.facts(run).iter().filter(|fact| matches!(fact, RunFact::InvocationStarted { node, .. } if node.as_str() == step)).count();
        let log = |attempt| std::fs::read_to_string(self.logs.join(run.as_str()).join(format!("{step}.{attempt}.log")));
        (1..=attempts).map(|attempt| log(attempt).unwrap_or_default()).collect()
    }
}

fn sort(entry: Entry, requests: &mut BTreeMap<RunId, Vec<RequestFact>>, runs: &mut BTreeMap<RunId, Vec<RunFact>>) {
    match (entry.stream, entry.fact) {
        (Stream::Request(run), Fact::Request(fact)) => requests.entry(run).or_default().push(fact),
        (Stream::Run(run), Fact::Run(fact)) => runs.entry(run).or_default().push(fact),
        (stream, fact) => panic!("nobody asked for {stream:?}: {fact:?}"),
    }
}

fn asked(town: &Town) -> BTreeMap<String, Vec<RunId>> {
    let mut asked = BTreeMap::new();
    for known in town.deliveries(Filter::default()) {
        let State::Handled { how: Handled::Asked { runs }, .. } = known.state else { panic!("it asked for nothing: {known:#?}") };
        assert!(asked.insert(known.id.to_string(), runs).is_none(), "{} is there twice", known.id);
    }
    asked
}
