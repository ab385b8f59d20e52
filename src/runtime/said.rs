//! What an attempt of a step says, piece by piece, until nothing more can come: whoever runs it may be another process.

use std::io::SeekFrom;
use std::path::PathBuf;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::records::{Records, RecordsError};
use crate::adapters::journal::Journal as _;
use crate::model::fact::{Fact, RunFact, Stream};
use crate::model::id::{NodeId, RunId};

const PIECE: usize = 32 << 10;

#[derive(Debug)]
pub struct Said {
    records: Records,
    run: RunId,
    node: NodeId,
    attempt: u32,
    log: PathBuf,
    file: Option<File>,
    at: u64,
    facts: u64,
    over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Bytes(Vec<u8>),
    /// Nothing for now.
    Nothing,
    /// And nothing any more.
    End,
}

#[derive(Debug, thiserror::Error)]
pub enum SaidError {
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("the log can not be read: {0}")]
    Log(#[from] std::io::Error),
}

impl Said {
    /// From this byte of the log on. The log need not be there yet.
    pub fn new(records: Records, (run, node, attempt): (RunId, NodeId, u32), log: PathBuf, from: u64) -> Self {
        Self { records, run, node, attempt, log, file: None, at: from, facts: 0, over: false }
    }

    pub async fn next(&mut self) -> Result<Piece, SaidError> {
        // Asked before the log is read: what is said until the end is in the log by then.
        self.over = self.over || self.has_ended().await?;
        if self.file.is_none()
            && let Ok(mut file) = File::open(&self.log).await
            // Whoever says that they have read more than there is gets nothing before there is more.
            && self.at <= file.metadata().await?.len()
        {
            file.seek(SeekFrom::Start(self.at)).await?;
            self.file = Some(file);
        }
        let mut piece = vec![0; PIECE];
        let read = match &mut self.file {
            Some(file) => file.read(&mut piece).await?,
            None => 0,
        };
        piece.truncate(read);
        self.at += read as u64;
        Ok(match (read, self.over) {
            (0, true) => Piece::End,
            (0, false) => Piece::Nothing,
            _ => Piece::Bytes(piece),
        })
    }

    async fn has_ended(&mut self) -> Result<bool, RecordsError> {
        let stream = Stream::Run(self.run.clone());
        if self.records.is_interrupted(&stream).await? {
            return Ok(true);
        }
        loop {
            let facts = self.records.journal.read_after(&stream, self.facts, 500).await?;
            let Some(last) = facts.last() else { return Ok(false) };
            self.facts = last.number;
            let ends = |fact: &Fact| match fact {
                Fact::Run(RunFact::InvocationEnded { node, attempt, .. }) => *node == self.node && *attempt == self.attempt,
                Fact::Run(RunFact::Ended { .. }) => true,
                _ => false,
            };
            if facts.iter().any(|entry| ends(&entry.fact)) {
                return Ok(true);
            }
        }
    }
}
