//! `tidegate rollout`: look at rollouts and decide about them.
//!
//! A rollout that is under way belongs to the process that drives it: a decision goes to it as a letter. One whose process has died is driven on from here.

use std::time::{Duration, Instant};

use super::print::println;
use tokio::sync::{oneshot, watch};

use super::args::{ExecutorArgument, GatewayArguments, Global, IsolationArguments, RolloutArguments, RolloutCommand, Size};
use super::deploy::exit_of;
use super::exit::Exit;
use super::place::{Place, PlaceError, Remote};
use super::screen::Screen;
use super::session::{self, Session, fail};
use super::{serving, terminal};
use crate::adapters::journal::{AnyJournal, Journal as _};
use crate::adapters::mailbox::Letter;
use crate::adapters::provider::Provider as _;
use crate::core::rollout::{Input, Rollout};
use crate::model::fact::{Entry, RolloutFact, RolloutOutcome, Stream};
use crate::model::id::RolloutId;
use crate::model::traffic::TrafficSplit;
use crate::report::rollout;
use crate::report::run::text::clean;
use crate::runtime::clock;
use crate::runtime::recover::rollout_facts;
use crate::runtime::rollouts::version_of;

/// How long the process that drives a rollout may take to read a letter.
const ANSWER: Duration = Duration::from_secs(10);
/// Rollouts that a prefix of an id is looked for among.
const KNOWN: usize = 10_000;

pub fn run(global: &Global, arguments: &RolloutArguments) -> Exit {
    match session::tokio() {
        Ok(tokio) => tokio.block_on(answer(global, &arguments.command)).unwrap_or_else(|(exit, why)| fail(exit, why)),
        Err(error) => fail(Exit::Infrastructure, error),
    }
}

type Answer = Result<Exit, (Exit, String)>;

fn ours(error: impl std::fmt::Display) -> (Exit, String) {
    (Exit::Infrastructure, error.to_string())
}

async fn answer(global: &Global, command: &RolloutCommand) -> Answer {
    let place = match command {
        RolloutCommand::Ls { .. } | RolloutCommand::Show { .. } => Place::of(global).map_err(exit_for)?,
        // What is decided here may have to be hosted here.
        _ if global.server.is_none() => Place::Nothing,
        _ => Place::of(global).map_err(exit_for)?,
    };
    match (command, &place) {
        (RolloutCommand::Ls { limit }, place) => list(global, place, *limit).await,
        (RolloutCommand::Show { rollout }, place) => show(global, place, rollout).await,
        (RolloutCommand::Promote { rollout }, Place::There(remote)) => act(remote, rollout, "promote").await,
        (RolloutCommand::Abort { rollout }, Place::There(remote)) => act(remote, rollout, "abort").await,
        (RolloutCommand::Rollback { rollout }, Place::There(remote)) => act(remote, rollout, "rollback").await,
        (RolloutCommand::Promote { rollout }, _) => decide(global, open(global).await?, rollout, Letter::Promote).await,
        (RolloutCommand::Abort { rollout }, _) => decide(global, open(global).await?, rollout, Letter::Abort).await,
        (RolloutCommand::Rollback { rollout }, _) => roll_back(global, open(global).await?, rollout).await,
    }
}

fn exit_for(error: PlaceError) -> (Exit, String) {
    (if error.is_usage() { Exit::Usage } else { Exit::Infrastructure }, error.to_string())
}

/// The server does it, or whoever it tells.
async fn act(remote: &Remote, rollout: &str, verb: &str) -> Answer {
    match remote.act("rollouts", rollout, verb, &serde_json::json!({})).await.map_err(PlaceError::from) {
        Ok(asked) => println!("{}", clean(&asked.said)),
        Err(error) if error.is_unknown() => return Err(unknown(rollout)),
        Err(error) => return Err(exit_for(error)),
    }
    Ok(Exit::Success)
}

/// Deciding may mean to host the functions.
async fn open(global: &Global) -> Result<Session, (Exit, String)> {
    let isolation = IsolationArguments {
        executor: ExecutorArgument::Sandbox,
        engine: None,
        pull: None,
        keep_images: Some(Size(u64::MAX)),
        allow_unisolated: false,
        host_tools: Vec::new(),
    };
    let gateway = GatewayArguments::nowhere();
    Session::open(global, &isolation, &gateway).await.map_err(ours)
}

fn unknown(given: &str) -> (Exit, String) {
    (Exit::Usage, format!("there is no rollout {given:?}: `tidegate rollout ls` lists them"))
}

/// Needs the journal and nothing else: a machine that can not isolate, or a folder where nothing was ever run, can be asked as well.
async fn list(global: &Global, place: &Place, limit: usize) -> Answer {
    let rollouts = place.rollouts(limit).await.map_err(exit_for)?;
    if global.json {
        for (first, last) in &rollouts {
            println!("{}", serde_json::json!({ "first": first, "last": last }));
        }
    } else if rollouts.is_empty() {
        println!("No rollouts yet: `tidegate run` with a deploy step, or `tidegate deploy`, makes one.");
    } else {
        let look = rollout::Look { width: terminal::table_width(), ..terminal::rollout_look() };
        println!("{}", rollout::list(&rollouts, clock::now(), look).trim_end());
    }
    Ok(Exit::Success)
}

async fn show(global: &Global, place: &Place, given: &str) -> Answer {
    let (_, entries) = match place.rollout(given).await {
        Err(error) if error.is_unknown() => return Err(unknown(given)),
        found => found.map_err(exit_for)?,
    };
    if global.json {
        for entry in &entries {
            println!("{}", serde_json::to_string(entry).map_err(ours)?);
        }
    } else {
        println!("{}", rollout::show(&rollout_facts(&entries), terminal::rollout_look()).trim_end());
    }
    Ok(Exit::Success)
}

/// By its id, by a beginning that only one has, or by `latest`.
async fn find(journal: &AnyJournal, given: &str) -> Result<(RolloutId, Vec<Entry>), (Exit, String)> {
    let mut found = Vec::new();
    for (first, _) in journal.rollouts(KNOWN).await.map_err(ours)? {
        let Stream::Rollout(id) = first.stream else { continue };
        if id.as_str() == given || given == "latest" {
            found = vec![id];
            break;
        }
        if id.as_str().starts_with(given) {
            found.push(id);
        }
    }
    match found.as_slice() {
        [id] => Ok((id.clone(), journal.read(&Stream::Rollout(id.clone())).await.map_err(ours)?)),
        [] => Err(unknown(given)),
        many => Err((Exit::Usage, format!("{} rollouts begin with {given:?}: write more of the id", many.len()))),
    }
}

async fn decide(global: &Global, session: Session, given: &str, letter: Letter) -> Answer {
    let (id, entries) = find(&session.journal, given).await?;
    let machine = Rollout::replay(&rollout_facts(&entries)).map_err(ours)?;
    if let Some(outcome) = machine.outcome() {
        let hint = if *outcome == RolloutOutcome::Promoted { ": `tidegate rollout rollback` takes it back" } else { "" };
        return Err((Exit::Usage, format!("rollout {id} has ended already ({}){hint}", outcome.word())));
    }
    if is_driven(&session, &id).await? {
        return post(&session, &id, letter).await;
    }
    let with = match letter {
        Letter::Promote => Input::Resume,
        Letter::Abort => Input::TakeBack { reason: "a person aborted it after its process had died".to_owned() },
    };
    drive_on(global, session, machine, entries.len() as u64, with, letter).await
}

async fn is_driven(session: &Session, id: &RolloutId) -> Result<bool, (Exit, String)> {
    let stream = Stream::Rollout(id.clone());
    let unfinished = session.journal.unfinished().await.map_err(ours)?;
    match unfinished.iter().find(|unfinished| unfinished.stream == stream) {
        // Whoever goes on with a dead one's has perhaps not said anything yet.
        Some(unfinished) => Ok(session.state.is_alive(&unfinished.owner).map_err(ours)? || session.state.is_rollout_adopted(id).map_err(ours)?),
        None => Ok(false),
    }
}

async fn post(session: &Session, id: &RolloutId, letter: Letter) -> Answer {
    let mailbox = session.rollouts.mailbox();
    mailbox.post(id, letter).map_err(ours)?;
    let since = Instant::now();
    while mailbox.waits(id) {
        if since.elapsed() > ANSWER {
            mailbox.take(id);
            return Err((Exit::Infrastructure, format!("the process that drives {id} has not answered; it was not told")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let word = if letter == Letter::Promote { "promote" } else { "abort" };
    println!("Told the process that drives {id} to {word} it: `tidegate rollout show {id}` says what came of it.");
    Ok(Exit::Success)
}

async fn drive_on(global: &Global, session: Session, machine: Rollout, written: u64, with: Input, letter: Letter) -> Answer {
    let stop = session::stop_on_signals().map_err(ours)?;
    let id = machine.id().clone();
    if letter == Letter::Promote {
        // Read as soon as the machine has been resumed.
        session.rollouts.mailbox().post(&id, Letter::Promote).map_err(ours)?;
    }
    let _adoption = session.state.adopt_rollout(&id).map_err(ours)?;
    let (finished, done) = oneshot::channel();
    let screen = tokio::spawn(Screen::new(global, false).follow(session.observer.clone(), done));
    let (_kept, aborted) = watch::channel(false);
    let ended = session.rollouts.go_on(machine, written, with, aborted).await.map_err(ours);
    let _ = finished.send(());
    let _ = screen.await;
    let outcome = ended?;
    if !global.json {
        let entries = session.journal.read(&Stream::Rollout(id)).await.map_err(ours)?;
        println!("{}", rollout::show(&rollout_facts(&entries), terminal::rollout_look()).trim_end());
    }
    serving::end(global, session, false, stop).await;
    let wanted = matches!((letter, &outcome), (Letter::Abort, RolloutOutcome::Aborted { .. } | RolloutOutcome::RolledBack { .. }));
    Ok(if wanted { Exit::Success } else { exit_of(&outcome) })
}

/// One call: all traffic to what was stable before the rollout. Nothing is built, published or judged.
async fn roll_back(global: &Global, session: Session, given: &str) -> Answer {
    let (id, entries) = find(&session.journal, given).await?;
    let machine = Rollout::replay(&rollout_facts(&entries)).map_err(ours)?;
    if machine.outcome().is_none() {
        return decide(global, session, id.as_str(), Letter::Abort).await;
    }
    let stable = rollout_facts(&entries).into_iter().find_map(|(_, fact)| match fact {
        RolloutFact::Started { stable, .. } => Some(stable),
        _ => None,
    });
    let stable = stable.ok_or_else(|| ours(format!("the journal of {id} has no beginning")))?;
    let name = machine.function().name.clone();
    let _turn = session.rollouts.take_turn(&name).map_err(ours)?;
    let provider = session.rollouts.provider(&machine.function().target).await.map_err(ours)?;
    let found = provider.traffic(&name).await.map_err(ours)?;
    let back = TrafficSplit::all(stable.clone());
    let called = version_of(&provider, &name, &stable).await.map_or_else(|| stable.to_string(), |version| format!("v{version}"));
    if found.split == back {
        println!("{name} is there already: all traffic goes to {called}.");
        return Ok(Exit::Success);
    }
    let mine = machine.release().map(|release| TrafficSplit::all(crate::model::traffic::Destination::Release(release.id.clone())));
    if mine.as_ref() != Some(&found.split) {
        let now: Vec<String> = found.split.iter().map(|(to, weight)| format!("{weight} {to}")).collect();
        let why = format!("{name} has moved on since {id} (now {}): roll back the newest rollout instead", now.join(", "));
        return Err((Exit::Usage, why));
    }
    provider.shift(&name, &back, found.revision).await.map_err(ours)?;
    println!("{name}: all traffic goes to {called} again.");
    Ok(Exit::Success)
}
