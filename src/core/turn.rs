//! What a machine answers to an input.

/// Facts to append to the journal, then effects to perform: in this order, always.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "facts must be journaled and effects performed, or the machine and the world part ways"]
pub struct Turn<F, E> {
    pub facts: Vec<F>,
    pub effects: Vec<E>,
}

impl<F, E> Turn<F, E> {
    pub fn nothing() -> Self {
        Self { facts: Vec::new(), effects: Vec::new() }
    }
}
