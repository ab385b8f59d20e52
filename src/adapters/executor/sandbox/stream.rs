//! While a step runs: its output goes to the log as it comes, and the first of three things ends it: itself, its deadline, a cancellation.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::LogSink;
use crate::adapters::sandbox::{Ended, Running};

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    ByItself,
    TimedOut,
    Cancelled,
}

/// The log with its limit. Every byte is kept or counted.
pub(super) struct Log {
    sink: Box<dyn LogSink>,
    limit: u64,
    kept: u64,
    dropped: u64,
    tail: Vec<u8>,
}

const TAIL: usize = 4096;

impl Log {
    pub(super) fn new(sink: Box<dyn LogSink>, limit: u64) -> Self {
        Self { sink, limit, kept: 0, dropped: 0, tail: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        let room = usize::try_from(self.limit - self.kept).unwrap_or(usize::MAX);
        let (kept, dropped) = bytes.split_at(bytes.len().min(room));
        if !kept.is_empty() {
            self.sink.write(kept);
            self.kept += kept.len() as u64;
        }
        if self.dropped == 0 && !dropped.is_empty() {
            self.sink.write(
                format!("\n[tidegate: the log is longer than its limit of {} bytes; the rest is counted and dropped]\n", self.limit).as_bytes(),
            );
        }
        self.dropped += dropped.len() as u64;
    }

    /// The end of what was said, kept or not.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Bytes kept and dropped.
    pub(super) fn finish(self) -> (u64, u64) {
        (self.kept, self.dropped)
    }
}

/// How long it may take, and how long it then has to end by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) timeout: Duration,
    pub(super) grace: Duration,
}

/// What the sandbox does next.
enum Next {
    Said(usize),
    /// Its output is closed. A process may close its output and go on.
    FellSilent,
    Ended(Ended),
}

/// Returns when nothing of the sandbox is left and all that it said is in the log. At its deadline, or when it is cancelled, everything in it gets TERM, and is
/// killed when the grace is over; what it says until then is kept.
pub(super) async fn until_the_end(running: &mut Running, log: &mut Log, patience: Patience, mut cancel: watch::Receiver<bool>) -> (Stopped, Ended) {
    let cancelled = async move {
        // Nobody who could cancel is left: then it will not be.
        if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(cancelled);
    let deadline = later(patience.timeout);
    let mut stopped = Stopped::ByItself;
    let mut kill_at = None;
    let mut silent = false;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let begun = stopped == Stopped::ByItself;
        tokio::select! {
            biased;
            () = &mut cancelled, if begun => stopped = Stopped::Cancelled,
            () = at(deadline), if begun => stopped = Stopped::TimedOut,
            () = at(kill_at), if kill_at.is_some() => {
                running.kill();
                kill_at = None;
            }
            next = next(running, silent, &mut buffer) => match next {
                Next::Said(length) => log.write(&buffer[..length]),
                Next::FellSilent => silent = true,
                Next::Ended(ended) => return (stopped, ended),
            },
        }
        if begun && stopped != Stopped::ByItself {
            running.terminate();
            kill_at = later(patience.grace);
        }
    }
}

/// May be given up and called again.
async fn next(running: &mut Running, silent: bool, buffer: &mut [u8]) -> Next {
    if silent {
        return Next::Ended(running.wait().await);
    }
    match running.output.read(buffer).await {
        Ok(length) if length > 0 => Next::Said(length),
        _ => Next::FellSilent,
    }
}

/// A moment further away than the clock reaches is none.
fn later(duration: Duration) -> Option<Instant> {
    Instant::now().checked_add(duration)
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl LogSink for Kept {
        fn write(&mut self, bytes: &[u8]) {
            self.0.lock().unwrap().extend_from_slice(bytes);
        }
    }

    #[test]
    fn past_the_limit_bytes_are_counted_and_one_line_says_so() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let mut log = Log::new(Box::new(Kept(kept.clone())), 5);
        for piece in ["abc", "defg", "hij"] {
            log.write(piece.as_bytes());
        }
        assert_eq!(log.tail(), b"abcdefghij");
        assert_eq!(log.finish(), (5, 5));
        let text = String::from_utf8(kept.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "abcde\n[tidegate: the log is longer than its limit of 5 bytes; the rest is counted and dropped]\n");
    }
}
