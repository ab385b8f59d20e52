//! `tidegate deliveries`: what the forge has sent, and what became of it. Works on the state folder, with a server or without.

use std::io::Write;

use serde_json::{Value, json};

use super::args::{DeliveriesArguments, DeliveriesCommand, DeliveryState, Global};
use super::exit::Exit;
use super::place::{Remote, RemoteError};
use super::print::{eprintln, println};
use super::session;
use crate::adapters::deliveries::{Deliveries, DeliveriesError, Filter, Keep, Known, Page, Replayed, State};
use crate::adapters::state::{self, StateError, StateFolder};
use crate::adapters::trigger::github;
use crate::model::delivery::{Delivery, Handled};
use crate::model::trigger::{Command, Trigger, Wish};
use crate::report::run::list::date;
use crate::report::run::text::{bytes, clean, count, fit, pad, width};

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Deliveries(#[from] DeliveriesError),
    #[error("there is no delivery {0:?}; `tidegate deliveries ls` lists them")]
    Unknown(String),
    #[error("more than one delivery begins with {0:?}; write more of the id")]
    Ambiguous(String),
    #[error("the body of {0} is not kept any more, so it can not be handled again; GitHub can send it again for three days")]
    Dropped(String),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("{0}")]
    Print(#[from] std::io::Error),
}

impl Trouble {
    fn exit(&self) -> Exit {
        match self {
            // Whoever reads has seen enough.
            Self::Print(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Success,
            Self::Unknown(_) | Self::Ambiguous(_) | Self::Dropped(_) => Exit::Usage,
            Self::Remote(error) if error.is_usage() => Exit::Usage,
            _ => Exit::Infrastructure,
        }
    }
}

pub fn run(global: &Global, arguments: &DeliveriesArguments) -> Exit {
    match answer(global, &arguments.command) {
        Ok(()) => Exit::Success,
        Err(trouble) if trouble.exit() == Exit::Success => Exit::Success,
        Err(trouble) => session::fail(trouble.exit(), &trouble),
    }
}

fn answer(global: &Global, command: &DeliveriesCommand) -> Result<(), Trouble> {
    if let Some(remote) = Remote::of(global)? {
        return tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(there(&remote, global, command));
    }
    let root = state::locate(global.state_dir.as_deref(), |name| std::env::var_os(name))?;
    if !root.join("deliveries.db").exists() {
        return match command {
            DeliveriesCommand::Ls { .. } => {
                if !global.json {
                    eprintln!("There are no deliveries yet: `tidegate serve` takes them.");
                }
                Ok(())
            }
            DeliveriesCommand::Show { delivery } | DeliveriesCommand::Replay { delivery } => Err(Trouble::Unknown(delivery.clone())),
        };
    }
    let store = Deliveries::open(StateFolder::open(root)?.root(), Keep::default())?;
    let mut out = std::io::stdout().lock();
    tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
        match command {
            DeliveriesCommand::Ls { limit, state, event } => {
                let waiting = state.map(|state| state == DeliveryState::Waiting);
                let page = Page { before: None, limit: *limit };
                ls(&store.list(Filter { waiting, event: event.clone() }, page).await?, global, &mut out)
            }
            DeliveriesCommand::Show { delivery } => {
                let known = find(&store, delivery).await?;
                show(&known, store.load(&known.id).await?, global, &mut out)
            }
            DeliveriesCommand::Replay { delivery } => replay(&store, &find(&store, delivery).await?, global).await,
        }
    })
}

/// The same, through a server's API.
async fn there(remote: &Remote, global: &Global, command: &DeliveriesCommand) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    let unknown = |error: RemoteError, given: &str| match error {
        RemoteError::Problem(problem) if problem.status == 404 => Trouble::Unknown(given.to_owned()),
        error => error.into(),
    };
    match command {
        DeliveriesCommand::Ls { limit, state, event } => {
            let waiting = state.map(|state| state == DeliveryState::Waiting);
            ls(&remote.deliveries(*limit, waiting, event.as_deref()).await?, global, &mut out)
        }
        DeliveriesCommand::Show { delivery } => {
            let (known, body) = remote.delivery(delivery).await.map_err(|error| unknown(error, delivery))?;
            let whole = body.map(|body| Delivery { id: known.id.clone(), event: known.event.clone(), received: known.received, body });
            show(&known, whole, global, &mut out)
        }
        DeliveriesCommand::Replay { delivery } => {
            let (known, _) = remote.delivery(delivery).await.map_err(|error| unknown(error, delivery))?;
            let asked = remote.act("deliveries", known.id.as_str(), "replay", &json!({})).await?;
            say_replayed(&known, &clean(&asked.said), global);
            Ok(())
        }
    }
}

async fn find(store: &Deliveries, given: &str) -> Result<Known, Trouble> {
    let mut found = store.find(given).await?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => Err(Trouble::Ambiguous(given.to_owned())),
        (None, _) => Err(Trouble::Unknown(given.to_owned())),
    }
}

fn ls(all: &[Known], global: &Global, out: &mut impl Write) -> Result<(), Trouble> {
    if all.is_empty() && !global.json {
        eprintln!("There are no such deliveries.");
    }
    let longest = |text: fn(&Known) -> &str| all.iter().map(|known| width(text(known))).max().unwrap_or(0);
    let (ids, events) = (longest(|known| known.id.as_str()), longest(|known| &known.event));
    for known in all {
        if global.json {
            writeln!(out, "{}", as_json(known))?;
            continue;
        }
        let columns = format!("{}  {}  {}  {:>9}", pad(known.id.as_str(), ids), date(known.received), pad(&known.event, events), bytes(known.bytes));
        let room = super::terminal::table_width().saturating_sub(width(&columns) + 2).max(12);
        writeln!(out, "{columns}  {}", fit(&clean(&became(known)), room))?;
    }
    Ok(())
}

fn show(known: &Known, delivery: Option<Delivery>, global: &Global, out: &mut impl Write) -> Result<(), Trouble> {
    let wants = delivery.as_ref().map(|delivery| match github::understand(delivery) {
        Ok(trigger) => wants(&trigger),
        Err(error) => format!("not understood: {error}"),
    });
    let body = delivery.map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned());
    if global.json {
        let mut all = as_json(known);
        all["wants"] = wants.into();
        all["body"] = body.map_or(Value::Null, |body| serde_json::from_str(&body).unwrap_or(Value::String(body)));
        writeln!(out, "{all}")?;
        return Ok(());
    }
    let mut rows = vec![("delivery", known.id.to_string()), ("event", known.event.clone()), ("received", date(known.received))];
    rows.extend(wants.map(|wants| ("wants", wants)));
    rows.push(("became", became(known)));
    rows.push(("attempts", known.attempts.to_string()));
    rows.extend(known.missed.clone().map(|missed| ("last error", missed)));
    rows.push(("body", if known.kept { bytes(known.bytes) } else { format!("{}, not kept any more", bytes(known.bytes)) }));
    for (name, value) in rows {
        writeln!(out, "{}  {}", pad(name, 10), clean(&value))?;
    }
    let pretty = body.and_then(|body| serde_json::to_string_pretty(&serde_json::from_str::<Value>(&body).ok()?).ok());
    if let Some(pretty) = pretty {
        writeln!(out)?;
        pretty.lines().try_for_each(|line| writeln!(out, "{}", clean(line)))?;
    }
    Ok(())
}

async fn replay(store: &Deliveries, known: &Known, global: &Global) -> Result<(), Trouble> {
    let said = match store.replay(&known.id).await? {
        Replayed::Waiting => "waits again",
        Replayed::AlreadyWaiting => "waits already",
        Replayed::Unknown => return Err(Trouble::Unknown(known.id.to_string())),
        Replayed::Dropped => return Err(Trouble::Dropped(known.id.to_string())),
    };
    say_replayed(known, said, global);
    Ok(())
}

fn say_replayed(known: &Known, said: &str, global: &Global) {
    if global.json {
        println!("{}", json!({"delivery": known.id, "replayed": said}));
    } else {
        println!("{} {said}: `tidegate serve` handles it", known.id);
    }
}

fn as_json(known: &Known) -> Value {
    let Known { number, id, event, received, bytes, kept, state, attempts, missed } = known;
    let (handled, at) = match state {
        State::Waiting => (Value::Null, None),
        State::Handled { at, how } => (json!(how), Some(at)),
    };
    json!({
        "delivery": id, "number": number, "event": event, "received": received, "bytes": bytes, "kept": kept,
        "handled": handled, "handled_at": at, "attempts": attempts, "missed": missed,
    })
}

fn became(known: &Known) -> String {
    match (&known.state, &known.missed) {
        (State::Waiting, None) => "waits".to_owned(),
        (State::Waiting, Some(why)) => format!("waits, after {}: {why}", count(known.attempts as usize, "attempt")),
        (State::Handled { how, .. }, _) => match how {
            Handled::Ignored { because } => format!("ignored: {because}"),
            Handled::Asked { runs } if runs.is_empty() => "no pipeline wanted it".to_owned(),
            Handled::Asked { runs } => format!("asked for {}: {}", count(runs.len(), "run"), list(runs)),
            Handled::Obeyed { what } => format!("obeyed: {what}"),
            Handled::Refused { because } => format!("refused: {because}"),
            Handled::Failed { why } => format!("failed: {why}"),
        },
    }
}

fn list(all: &[impl ToString]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A trigger in one line.
fn wants(trigger: &Trigger) -> String {
    let of = |what: String| match &trigger.repository {
        Some(repository) => format!("{what} of {}", repository.name),
        None => what,
    };
    match &trigger.wish {
        Wish::Happened(event) | Wish::Closed { event } => {
            let action = event.context.action.as_ref().map(|action| format!(" {action}")).unwrap_or_default();
            let fork = if event.context.pull.as_ref().is_some_and(|pull| pull.fork) { ", from a fork" } else { "" };
            let at = [event.reference.as_str(), event.commit.short()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
            of(format!("{}{action} {at}{fork}", event.kind.word()))
        }
        Wish::Deleted { reference } => of(format!("{reference} is gone")),
        Wish::Command { command, .. } => of(format!("the command {}", verb(command))),
        Wish::Rerun { external, commit } => of(format!("{} again at {}", external.as_deref().unwrap_or("all"), commit.short())),
        Wish::Pressed { external, identifier } => of(format!("the button {identifier} of {external}")),
        Wish::Installation { id, change } => format!("installation {id}: {change}"),
        Wish::Ping { .. } => "nothing: a ping".to_owned(),
        Wish::Nothing { because } => format!("nothing: {because}"),
    }
}

fn about(verb: &str, commit: Option<&str>, environment: Option<&str>) -> String {
    format!("{verb} {} {}", commit.unwrap_or("(no commit)"), environment.unwrap_or_default()).trim_end().to_owned()
}

fn verb(command: &Command) -> String {
    match command {
        Command::Run { pipeline, .. } => format!("run {}", pipeline.as_deref().unwrap_or("(all)")),
        Command::Approve { commit, environment } => about("approve", commit.as_deref(), environment.as_deref()),
        Command::Reject { commit, environment } => about("reject", commit.as_deref(), environment.as_deref()),
        Command::Cancel => "cancel".to_owned(),
        Command::Promote { .. } => "promote".to_owned(),
        Command::Rollback { .. } => "rollback".to_owned(),
        Command::Unknown { said } => format!("that is none: {said}"),
    }
}
