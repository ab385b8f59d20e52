//! Starts rollouts: one at a time for a function, each with its own stream of the journal.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, watch};

use crate::adapters::journal::AnyJournal;
use crate::adapters::mailbox::Mailbox;
use crate::adapters::provider::{self, AnyProvider, LocalOptions, Provider as _};
use crate::adapters::state::{StateFolder, file_name};
use crate::core::rollout::{Input, Order, Rollout};
use crate::model::fact::{RolloutOutcome, Stream};
use crate::model::function::Target;
use crate::model::id::{RolloutId, RunId};
use crate::model::traffic::{Destination, Weight};

use super::drive_rollout::{self, Hands, RolloutError};
pub use super::invocation::Deployment;
use super::observer::Observer;
use super::recorder::Recorder;
use super::{clock, ids};

/// What rollouts are performed with. Clones share the provider, which is opened when it is first needed.
#[derive(Debug, Clone)]
pub struct Rollouts {
    journal: AnyJournal,
    state: StateFolder,
    mailbox: Mailbox,
    observer: Observer,
    local: Arc<Local>,
    /// Those that this process drives.
    under_way: Arc<Mutex<BTreeSet<RolloutId>>>,
}

#[derive(Debug)]
struct Local {
    options: LocalOptions,
    opened: OnceCell<Arc<AnyProvider>>,
}

impl Rollouts {
    pub fn new(journal: AnyJournal, state: StateFolder, mailbox: Mailbox, observer: Observer, options: LocalOptions) -> Self {
        Self { journal, state, mailbox, observer, local: Arc::new(Local { options, opened: OnceCell::new() }), under_way: Arc::default() }
    }

    /// The same rollouts, told of to somebody else.
    #[must_use]
    pub fn observed_by(&self, observer: Observer) -> Self {
        Self { observer, ..self.clone() }
    }

    pub fn is_under_way(&self, rollout: &RolloutId) -> bool {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).contains(rollout)
    }

    /// Under way as long as what is returned is kept.
    pub fn enter(&self, rollout: &RolloutId) -> UnderWay {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(rollout.clone());
        UnderWay { all: self.under_way.clone(), rollout: rollout.clone() }
    }

    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    pub async fn provider(&self, target: &Target) -> Result<Arc<AnyProvider>, RolloutError> {
        let open = async || provider::open(target, self.state.root(), &self.local.options).await.map(Arc::new);
        Ok(match target {
            Target::Local => self.local.opened.get_or_try_init(open).await?.clone(),
            _ => open().await?,
        })
    }

    /// The local provider, if it was needed.
    pub fn opened(&self) -> Option<Arc<AnyProvider>> {
        self.local.opened.get().cloned()
    }

    /// Publishes and moves traffic until the rollout has ended. `attached` is told its id as soon as it has one.
    pub async fn deploy(
        &self,
        wanted: Deployment,
        run: Option<RunId>,
        attached: impl FnOnce(RolloutId) + Send,
        aborted: watch::Receiver<bool>,
    ) -> Result<RolloutOutcome, RolloutError> {
        let Deployment { function, artifact, digest, policy } = wanted;
        let _turn = self.take_turn(&function.name)?;
        let provider = self.provider(&function.target).await?;
        let traffic = provider.traffic(&function.name).await?;
        let stable = whole(&traffic.split).ok_or_else(|| {
            RolloutError::Refused(format!(
                "the traffic of {} is split already, by something that is not under way any more: `tidegate rollout ls` shows what, `tidegate rollout rollback ID` puts it back",
                function.name
            ))
        })?;
        let now = clock::now();
        let id = ids::rollout(&function.name, now);
        let stable_version = version_of(&provider, &function.name, &stable).await;
        let order = Order { id: id.clone(), function, policy, stable, stable_version, artifact: digest, run };
        let (rollout, turn) = Rollout::start(order, now);
        let hands = self.hands(&id, 0, provider, Some(artifact), aborted);
        attached(id);
        drive_rollout::drive(hands, rollout, turn).await
    }

    /// Goes on with a rollout whose process has died. `written` is how many facts it has.
    pub async fn go_on(
        &self,
        mut rollout: Rollout,
        written: u64,
        with: Input,
        aborted: watch::Receiver<bool>,
    ) -> Result<RolloutOutcome, RolloutError> {
        let _turn = self.take_turn(&rollout.function().name)?;
        let provider = self.provider(&rollout.function().target.clone()).await?;
        let turn = rollout.handle(with, clock::now()).map_err(|error| RolloutError::Refused(error.to_string()))?;
        let hands = self.hands(&rollout.id().clone(), written, provider, None, aborted);
        drive_rollout::drive(hands, rollout, turn).await
    }

    fn hands(&self, id: &RolloutId, written: u64, provider: Arc<AnyProvider>, artifact: Option<PathBuf>, aborted: watch::Receiver<bool>) -> Hands {
        let recorder = Recorder::new(self.journal.clone(), Stream::Rollout(id.clone()), written, self.observer.clone());
        Hands { provider, recorder, observer: self.observer.clone(), mailbox: self.mailbox.clone(), artifact, aborted }
    }

    /// One rollout at a time for a function, over all processes of this state folder. The lock goes with the process, however that ends.
    pub fn take_turn(&self, function: &str) -> Result<Turnstile, RolloutError> {
        let refused = |why: String| RolloutError::Refused(why);
        let folder = self.state.folder("locks").map_err(|error| refused(error.to_string()))?;
        let path = folder.join(format!("rollout-{}", file_name(function)));
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| refused(format!("{} can not be opened: {error}", path.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Turnstile { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(refused(format!("another rollout of {function} is under way: wait for it, or `tidegate rollout abort` it")))
            }
            Err(TryLockError::Error(error)) => Err(refused(format!("{} can not be locked: {error}", path.display()))),
        }
    }
}

/// That a rollout is under way in this process.
#[derive(Debug)]
pub struct UnderWay {
    all: Arc<Mutex<BTreeSet<RolloutId>>>,
    rollout: RolloutId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.rollout);
    }
}

/// Held while a function's traffic is being moved.
#[derive(Debug)]
pub struct Turnstile {
    _file: File,
}

/// What people call a destination, if it is a release that the provider has a number for. It is only a name: that it is not known stops nothing.
pub async fn version_of(provider: &AnyProvider, function: &str, destination: &Destination) -> Option<u64> {
    let Destination::Release(release) = destination else { return None };
    provider.version(function, release).await.ok().flatten()
}

/// The one destination that has everything.
pub fn whole(split: &crate::model::traffic::TrafficSplit) -> Option<Destination> {
    split.iter().find(|(_, weight)| *weight == Weight::ALL).map(|(destination, _)| destination.clone())
}
