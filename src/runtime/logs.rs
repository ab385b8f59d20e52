//! What a step prints, to whoever watches. The executor keeps it in a file.

use crate::adapters::executor::LogSink;
use crate::model::id::NodeId;

use super::observer::Observer;

pub struct StepLog {
    pub node: NodeId,
    pub observer: Observer,
}

impl LogSink for StepLog {
    fn write(&mut self, bytes: &[u8]) {
        self.observer.log(&self.node, bytes);
    }
}
