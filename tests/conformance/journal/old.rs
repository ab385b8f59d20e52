//! Every schema that was ever released can still be opened, brought up to date and read to the last fact.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tidegate::adapters::journal::Journal as _;
use tidegate::model::fact::{Entry, Fact, RolloutFact, RunFact, Stream};
use tidegate::model::request::RequestFact;

use super::samples::{at, rollout_facts, run_facts, since_2};
use super::{Place, block_on, open};

fn fixtures() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/journals");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).expect("the samples").map(|entry| entry.expect("a sample").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    files
}

fn expected(stream: &Stream, facts: Vec<Fact>) -> Vec<Entry> {
    facts.into_iter().zip(1..).map(|(fact, number)| Entry { stream: stream.clone(), number, at: at(), fact }).collect()
}

/// The first version did not count it: that it does not say so is not that there was none.
fn without_storage(fact: &mut Fact) {
    if let Fact::Run(RunFact::InvocationEnded { record: Some(record), .. }) = fact {
        (record.read_bytes, record.written_bytes) = (None, None);
    }
}

#[test]
fn every_old_journal_can_be_read_and_written_on() {
    assert!(!fixtures().is_empty());
    for fixture in fixtures() {
        let place = Place::new();
        let dump = std::fs::read_to_string(&fixture).expect("a sample");
        let connection = rusqlite::Connection::open(place.path()).expect("a new file");
        connection.execute_batch(&dump).expect("a dump");
        drop(connection);
        block_on(async {
            let journal = open(&place.path(), "new");
            let (run, mut run_facts) = run_facts();
            if fixture.ends_with("v1.sql") {
                run_facts.iter_mut().for_each(without_storage);
            }
            let (rollout, rollout_facts) = rollout_facts();
            assert_eq!(journal.read(&run).await, Ok(expected(&run, run_facts.clone())), "{}", fixture.display());
            assert_eq!(journal.read(&rollout).await, Ok(expected(&rollout, rollout_facts)), "{}", fixture.display());
            if !fixture.ends_with("v1.sql") {
                for (stream, facts) in since_2() {
                    assert_eq!(journal.read(&stream).await, Ok(expected(&stream, facts)), "{}", fixture.display());
                }
            }
            assert!(!journal.runs(9).await.expect("listed").is_empty());
            let next = run_facts.len() as u64 + 1;
            journal.append(&run, next, at(), vec![run_facts[1].clone()]).await.expect("appended");
        });
    }
}

/// The samples hold every kind of fact. A new kind does not compile here until it is named, and then not pass until it is sampled.
#[test]
fn the_samples_hold_every_kind_of_fact() {
    let since = since_2();
    let kinds: BTreeSet<&str> = run_facts().1.iter().chain(&rollout_facts().1).chain(since.iter().flat_map(|(_, facts)| facts)).map(kind).collect();
    assert_eq!(kinds.len(), 13 + 13 + 4, "{kinds:?}");
}

fn kind(fact: &Fact) -> &'static str {
    match fact {
        Fact::Run(fact) => match fact {
            RunFact::Started { .. } => "run started",
            RunFact::NodeKept { .. } => "node kept",
            RunFact::NodeHeld { .. } => "node held",
            RunFact::NodeApproved { .. } => "node approved",
            RunFact::NodeRejected { .. } => "node rejected",
            RunFact::NodeQueued { .. } => "node queued",
            RunFact::InvocationStarted { .. } => "invocation started",
            RunFact::InvocationEnded { .. } => "invocation ended",
            RunFact::RetryScheduled { .. } => "retry scheduled",
            RunFact::RolloutAttached { .. } => "rollout attached",
            RunFact::NodeEnded { .. } => "node ended",
            RunFact::CancelRequested { .. } => "cancel requested",
            RunFact::Ended { .. } => "run ended",
        },
        Fact::Request(fact) => match fact {
            RequestFact::Asked { .. } => "asked",
            RequestFact::Approved { .. } => "approved",
            RequestFact::Begun => "begun",
            RequestFact::Dropped { .. } => "dropped",
        },
        Fact::Rollout(fact) => match fact {
            RolloutFact::Started { .. } => "rollout started",
            RolloutFact::PublishIntended { .. } => "publish intended",
            RolloutFact::Published { .. } => "published",
            RolloutFact::AlreadyLive { .. } => "already live",
            RolloutFact::PrewarmIntended { .. } => "prewarm intended",
            RolloutFact::Prewarmed { .. } => "prewarmed",
            RolloutFact::ShiftIntended { .. } => "shift intended",
            RolloutFact::Shifted { .. } => "shifted",
            RolloutFact::Observed { .. } => "observed",
            RolloutFact::StageHeld { .. } => "stage held",
            RolloutFact::CallFailed { .. } => "call failed",
            RolloutFact::Decided { .. } => "decided",
            RolloutFact::Ended { .. } => "rollout ended",
        },
    }
}
