//! What people say about what a run waits for, as inputs of its machine.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use crate::adapters::mailbox::Words;
use crate::adapters::state::{StateError, StateFolder};
use crate::core::run::{Input, Run};
use crate::model::id::{NodeId, RunId};
use crate::model::policy::{Verdict, Word};

/// How often somebody looks for words, while there is something that they could be about.
const LOOK: Duration = Duration::from_millis(200);

/// Where words for runs of this state folder are left: by other commands, and by whoever hears a forge.
pub fn words(state: &StateFolder) -> Result<Words, StateError> {
    Ok(Words::new(state.folder("words")?))
}

/// The ears of one run.
#[derive(Debug)]
pub(super) struct Ears {
    words: Words,
    run: RunId,
    /// With the last input of a word, the word.
    heard: VecDeque<(Input, Option<PathBuf>)>,
    /// Whose inputs have all been handled.
    answered: Vec<PathBuf>,
}

impl Ears {
    pub fn new(state: &StateFolder, run: RunId) -> Result<Self, StateError> {
        Ok(Self { words: words(state)?, run, heard: VecDeque::new(), answered: Vec::new() })
    }

    /// The next thing that is said about what waits. Never, while nothing does.
    pub async fn listen(&mut self, waiting: &[(NodeId, String)]) -> Input {
        if waiting.is_empty() && self.heard.is_empty() {
            std::future::pending::<()>().await;
        }
        loop {
            if let Some((input, word)) = self.heard.pop_front() {
                self.answered.extend(word);
                return input;
            }
            for (path, word) in self.words.said(&self.run) {
                let about: Vec<&NodeId> =
                    waiting.iter().filter(|(node, environment)| concerns(&word, node, environment)).map(|(node, _)| node).collect();
                self.heard.extend(about.iter().map(|node| (input((*node).clone(), &word), None)));
                // What is not said ahead is an answer to what waits, and void without it.
                match self.heard.back_mut() {
                    _ if word.ahead => {}
                    Some(last) if !about.is_empty() => last.1 = Some(path),
                    _ => self.words.heard(&path),
                }
            }
            if self.heard.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// What came of the inputs is on disk: now the words are gone, which is the answer to those who said them.
    pub fn answer(&mut self) {
        self.answered.drain(..).for_each(|path| self.words.heard(&path));
    }

    pub fn end(&self) {
        self.words.end(&self.run);
    }
}

/// What waits for a word, as far as it is not the machine's.
pub(super) fn waiting(run: &Run) -> Vec<(NodeId, String)> {
    run.unapproved().into_iter().map(|(node, environment)| (node, environment.to_owned())).collect()
}

fn concerns(word: &Word, node: &NodeId, environment: &str) -> bool {
    word.environment.as_deref().is_none_or(|about| about == environment) && word.node.as_ref().is_none_or(|about| about == node)
}

fn input(node: NodeId, word: &Word) -> Input {
    let by = word.by.clone();
    match &word.verdict {
        Verdict::Approve => Input::Approved { node, by },
        Verdict::Reject { reason } => Input::Rejected { node, by, reason: reason.clone() },
    }
}
