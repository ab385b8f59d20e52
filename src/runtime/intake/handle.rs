//! What is done for each wish.

use super::Intake;
use crate::adapters::forge::ForgeError;
use crate::core::trust;
use crate::model::check::PullHead;
use crate::model::delivery::{Delivery, Handled};
use crate::model::event::{Actor, Event};
use crate::model::trigger::{Repository, Wish};
use crate::runtime::asking::{AskError, AskedFor, Asking, Authority, Repeat, Seed};
use crate::runtime::dispatcher::Which;

impl Intake {
    pub(super) async fn handle(
        &self,
        delivery: &Delivery,
        repository: Option<Repository>,
        actor: Option<Actor>,
        wish: Wish,
    ) -> Result<Handled, AskError> {
        let ignored = |because: String| Ok(Handled::Ignored { because });
        let Some(repository) = repository else {
            return ignored(match wish {
                Wish::Ping { zen } => format!("a ping: {zen}"),
                Wish::Installation { id, change } => format!("installation {id}: {change}"),
                Wish::Nothing { because } => because,
                _ => "it names no repository".to_owned(),
            });
        };
        let seed = Seed { at: delivery.received, name: delivery.id.to_string() };
        match wish {
            Wish::Happened(event) | Wish::Closed { event } => self.happened(&repository, *event, &seed, delivery).await,
            // An old word, or one that is said again, after it was made anew: what waits for the new one stays.
            Wish::Deleted { reference } if self.asking.is_there(&repository, &reference).await? => ignored(format!("{reference} is there again")),
            Wish::Deleted { reference } => {
                let which = Which::Reference { repository: repository.name, reference: reference.clone() };
                let gone = self.asking.dispatcher.void(which, format!("{reference} was deleted")).await;
                Ok(Handled::Obeyed { what: format!("{reference} is gone: {} requests with it", gone.len()) })
            }
            Wish::Command { about, comment: _, command } => {
                let Some(actor) = actor else { return ignored("nobody knows who wrote it".to_owned()) };
                self.words.command(&self.asking, &repository, &actor, &about, command, &seed).await
            }
            Wish::Rerun { external, commit } => {
                let Some(actor) = actor else { return ignored("nobody knows who asks".to_owned()) };
                self.words.rerun(&self.asking, &repository, &actor, (external.as_deref(), &commit), &Repeat::All, &seed).await
            }
            Wish::Pressed { external, identifier } => {
                let Some(actor) = actor else { return ignored("nobody knows who asks".to_owned()) };
                self.words.pressed(&self.asking, &repository, &actor, &external, &identifier, &seed).await
            }
            Wish::Installation { id, change } => ignored(format!("installation {id}: {change}")),
            Wish::Ping { zen } => {
                let _ = self.asking.mirrors.remember(&repository);
                ignored(format!("a ping: {zen}"))
            }
            Wish::Nothing { because } => ignored(because),
        }
    }

    async fn happened(&self, repository: &Repository, mut event: Event, seed: &Seed, delivery: &Delivery) -> Result<Handled, AskError> {
        event.context.delivery = Some(delivery.id.clone());
        event.context.installation = repository.installation;
        event.context.default_branch = Some(repository.default_branch.clone());
        if let Some(pull) = &event.context.pull {
            let now = self.now(repository, &event, pull.number).await?;
            // What waits for an earlier head waits for something that is not there any more: above all for an approval.
            let (but, because) = match now.open {
                true => (Some(now.commit.clone()), format!("its pull request has another head: {}", now.commit.short())),
                false => (None, "its pull request is closed".to_owned()),
            };
            self.asking.dispatcher.void(Which::Pull { repository: repository.name.clone(), number: pull.number, but }, because).await;
            if let Some(because) = trust::void(&event, now.open.then_some(&now.commit)) {
                return Ok(Handled::Ignored { because });
            }
        }
        let AskedFor { runs, refused } = self.asking.event(repository, event, seed, None, Authority::Forge, &[]).await?;
        Ok(match refused {
            Some(because) => Handled::Refused { because },
            None => Handled::Asked { runs },
        })
    }

    /// Where a pull request is: deliveries come late, twice, and again. Where the forge can not be asked, what was heard counts.
    async fn now(&self, repository: &Repository, event: &Event, number: u64) -> Result<PullHead, AskError> {
        let heard = PullHead { commit: event.commit.clone(), open: !trust::closes(event) };
        let Some(github) = &self.asking.github else { return Ok(heard) };
        match github.pull(&Asking::place(repository), number).await {
            Ok(now) => Ok(now),
            Err(ForgeError::Refused { .. }) => Ok(heard),
            Err(error) => Err(error.into()),
        }
    }
}
