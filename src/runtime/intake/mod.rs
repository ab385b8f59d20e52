//! Handles deliveries: from the store to requests and words about what there is already.
//!
//! ```text
//!  store ──waiting──▶ one line a repository ──▶ handle ──┬─ done ─────▶ mark_handled
//!    ▲                                                   └─ passing ──▶ mark_missed; the line waits, ever longer
//!    └── a delivery stays in the store until it is handled: a process that dies leaves nothing half done, as everything it did has an id that follows from the delivery
//! ```
//! In order within a repository; beside one another otherwise, so that one whose server does not answer holds up nobody else.

mod answer;
mod environments;
mod handle;
mod known;
mod rollouts;
mod words;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::adapters::deliveries::{Deliveries, DeliveriesError, Known};
use crate::adapters::trigger::github;
use crate::model::delivery::Handled;
use crate::model::id::DeliveryId;
use crate::model::trigger::Trigger;

use super::alone::{alone, for_ever};
use super::asking::{AskError, SharedAsking};
use super::clock;
use super::hub::{Hub, Told};

/// Deliveries that are looked at in one go: those that are known to have to wait are many only while something is very wrong.
const LOOK: usize = 10_000;
/// Repositories at once.
const AT_ONCE: usize = 8;
/// A look costs what waits: so many times as long as the last one took, nobody looks because something has come. Many that come at once are seen at once then.
const PAUSE: u32 = 9;
/// How long a line waits after something that may pass: from the first to the last of these, ever longer.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));
/// What could not be handled for so long is given up.
const GIVE_UP: Duration = Duration::from_secs(3 * 24 * 3600);

/// What deliveries are handled with.
#[derive(Debug, Clone)]
pub struct Intake {
    pub deliveries: Deliveries,
    pub asking: SharedAsking,
    pub words: words::Words,
    pub hub: Hub,
    pub signs: Signs,
}

pub use answer::Signs;
pub use words::Words;

#[derive(Debug, Default)]
struct Line {
    busy: bool,
    not_before: Option<Instant>,
    patience: Option<Duration>,
}

/// What came of a part of a line.
struct Came {
    repository: String,
    handled: Vec<DeliveryId>,
    passing: bool,
}

impl Intake {
    /// Never ends by itself. A mistake of ours outside of any delivery takes none with it: what waits stands in the store.
    pub async fn run(self) {
        let begin = || {
            let me = self.clone();
            async move { me.lines().await }
        };
        let tell = |why: &str| self.hub.tell(Told::Note(format!("deliveries are looked at anew, after a mistake of Tidegate's own: {why}")));
        match for_ever(begin, PATIENCE.0, tell).await {}
    }

    async fn lines(&self) {
        let mut lines: HashMap<String, Line> = HashMap::new();
        let mut known: HashMap<DeliveryId, String> = HashMap::new();
        let mut tasks: JoinSet<Came> = JoinSet::new();
        loop {
            let begun = Instant::now();
            let next = match self.look(&mut lines, &mut known, &mut tasks).await {
                Ok(next) => next,
                Err(error) => {
                    self.hub.tell(Told::Note(format!("deliveries can not be read: {error}")));
                    Some(PATIENCE.0)
                }
            };
            let pause = begun.elapsed().saturating_mul(PAUSE).min(PATIENCE.0);
            let came = async {
                tokio::time::sleep(pause).await;
                self.deliveries.came().await;
            };
            let sleep = async {
                match next {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = came => {}
                () = sleep => {}
                Some(came) = tasks.join_next() => match came {
                    Ok(came) => settle(&mut lines, &mut known, came),
                    Err(error) if error.is_cancelled() => {}
                    // A mistake of ours, outside of any delivery: its line would stand for ever. Nobody goes on with the others before they have stopped.
                    Err(error) => {
                        self.hub.tell(Told::Note(format!("a delivery could not be handled: {error}")));
                        tasks.shutdown().await;
                        lines.clear();
                        known.clear();
                    }
                },
            }
        }
    }

    /// Begins what can begin. Answers when to look again although nothing has come.
    async fn look(
        &self,
        lines: &mut HashMap<String, Line>,
        known: &mut HashMap<DeliveryId, String>,
        tasks: &mut JoinSet<Came>,
    ) -> Result<Option<Duration>, DeliveriesError> {
        let waiting = self.deliveries.waiting(LOOK).await?;
        let mut parts: Vec<(String, Vec<Known>)> = Vec::new();
        let mut at: HashMap<String, usize> = HashMap::new();
        for delivery in waiting {
            let repository = match known.get(&delivery.id) {
                Some(repository) => repository.clone(),
                None => {
                    let repository = self.repository(&delivery.id).await?;
                    known.insert(delivery.id.clone(), repository.clone());
                    repository
                }
            };
            let place = *at.entry(repository.clone()).or_insert_with(|| {
                parts.push((repository, Vec::new()));
                parts.len() - 1
            });
            if let Some((_, part)) = parts.get_mut(place) {
                part.push(delivery);
            }
        }
        let now = Instant::now();
        let mut next: Option<Duration> = None;
        for (repository, part) in parts {
            let line = lines.entry(repository.clone()).or_default();
            let wait = line.not_before.map(|moment| moment.saturating_duration_since(now)).unwrap_or_default();
            if line.busy || tasks.len() >= AT_ONCE {
                continue;
            }
            if !wait.is_zero() {
                next = Some(next.map_or(wait, |next| next.min(wait)));
                continue;
            }
            line.busy = true;
            let me = self.clone();
            tasks.spawn(async move { me.part(repository, part).await });
        }
        Ok(next)
    }

    /// Whose line a delivery stands in. What is not understood stands in one of its own.
    async fn repository(&self, id: &DeliveryId) -> Result<String, DeliveriesError> {
        let delivery = match self.deliveries.load(id).await {
            Ok(Some(delivery)) => delivery,
            Ok(None) | Err(DeliveriesError::Damaged(_)) => return Ok(String::new()),
            Err(error) => return Err(error),
        };
        // One that shows a mistake of ours here shows it again where it is handled, and ends there.
        let understood = alone(async move { github::understand(&delivery).ok() }).await;
        Ok(understood.ok().flatten().and_then(|trigger| trigger.repository).map(|repository| repository.name).unwrap_or_default())
    }

    async fn part(self, repository: String, part: Vec<Known>) -> Came {
        let mut handled = Vec::new();
        for known in part {
            match self.one_alone(&known).await {
                Ok(()) => handled.push(known.id),
                Err(why) => {
                    let _ = self.deliveries.mark_missed(&known.id, why).await;
                    return Came { repository, handled, passing: true };
                }
            }
        }
        Came { repository, handled, passing: false }
    }

    /// A mistake of ours ends the delivery that it shows at, and is not made again and again.
    async fn one_alone(&self, known: &Known) -> Result<(), String> {
        let (me, delivery) = (self.clone(), known.clone());
        match alone(async move { me.one(&delivery).await }).await {
            Ok(how) => how,
            Err(error) => {
                let why = format!("a mistake of Tidegate's own: {error}");
                self.hub.tell(Told::Note(format!("delivery {} could not be handled: {why}", known.id)));
                self.deliveries.mark_handled(&known.id, clock::now(), Handled::Failed { why }).await.map_err(|error| error.to_string())
            }
        }
    }

    /// The error is one that may pass.
    async fn one(&self, known: &Known) -> Result<(), String> {
        let passing = |error: DeliveriesError| error.to_string();
        let failed = |why: &str| Handled::Failed { why: why.to_owned() };
        let delivery = match self.deliveries.load(&known.id).await {
            Ok(Some(delivery)) => delivery,
            Ok(None) => {
                return self.deliveries.mark_handled(&known.id, clock::now(), failed("its body is not kept any more")).await.map_err(passing);
            }
            Err(DeliveriesError::Damaged(why)) => return self.deliveries.mark_damaged(&known.id, clock::now(), why).await.map_err(passing),
            Err(error) => return Err(passing(error)),
        };
        let how = match github::understand(&delivery) {
            Err(why) => Handled::Failed { why: why.to_string() },
            Ok(trigger) => {
                let said = answer::Said::of(&trigger);
                let Trigger { wish, repository, actor } = trigger;
                let how = match self.handle(&delivery, repository, actor, wish).await {
                    Ok(how) => how,
                    Err(error) if error.is_passing() && clock::now().since(delivery.received) < GIVE_UP => return Err(error.to_string()),
                    Err(AskError::Refused(because)) => Handled::Refused { because },
                    Err(error) => Handled::Failed { why: error.to_string() },
                };
                if let Some(said) = said {
                    self.answer(said, &how);
                }
                how
            }
        };
        self.deliveries.mark_handled(&known.id, clock::now(), how).await.map_err(passing)
    }
}

fn settle(lines: &mut HashMap<String, Line>, known: &mut HashMap<DeliveryId, String>, came: Came) {
    let gone: HashSet<&DeliveryId> = came.handled.iter().collect();
    known.retain(|id, _| !gone.contains(id));
    if !came.passing {
        lines.remove(&came.repository);
        return;
    }
    let line = lines.entry(came.repository).or_default();
    let patience = line.patience.map_or(PATIENCE.0, |patience| (patience * 2).min(PATIENCE.1));
    *line = Line { busy: false, not_before: Some(Instant::now() + patience), patience: Some(patience) };
}
