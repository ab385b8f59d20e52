//! What steps print: to a file of its own for every attempt, and to whoever watches.

use std::fs::File;
use std::io::Write as _;

use crate::adapters::executor::LogSink;
use crate::adapters::state::StateFolder;
use crate::model::id::{NodeId, RunId};

use super::observer::Observer;

pub struct StepLog {
    file: Option<File>,
    node: NodeId,
    observer: Observer,
}

impl StepLog {
    /// A log that can not be kept is said, and does not stop the step: what it prints is still shown.
    pub fn open(state: &StateFolder, run: &RunId, node: &NodeId, attempt: u32, observer: Observer) -> Self {
        let file = File::create(state.log(run, node, attempt));
        if let Err(error) = &file {
            observer.note(format!("the log of {node} can not be kept: {error}"));
        }
        Self { file: file.ok(), node: node.clone(), observer }
    }
}

impl LogSink for StepLog {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            self.observer.note(format!("the log of {} ends here: {error}", self.node));
            self.file = None;
        }
        self.observer.log(&self.node, bytes);
    }
}
