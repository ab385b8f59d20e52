//! While a step runs: its output goes to the log as it comes, and the first of three things ends it: itself, its deadline, a cancellation.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

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

/// Returns when nothing of the sandbox is left and all that it said is in the log.
pub(super) async fn until_the_end(running: &mut Running, log: &mut Log, timeout: Duration, mut cancel: watch::Receiver<bool>) -> (Stopped, Ended) {
    // A deadline further away than the clock reaches is none.
    let deadline = tokio::time::Instant::now().checked_add(timeout);
    let due = async move {
        match deadline {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    let cancelled = async move {
        // Nobody who could cancel is left: then it will not be.
        if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(due, cancelled);
    let mut stopped = Stopped::ByItself;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = tokio::select! {
            biased;
            () = &mut cancelled, if stopped == Stopped::ByItself => {
                stopped = Stopped::Cancelled;
                running.kill();
                continue;
            }
            () = &mut due, if stopped == Stopped::ByItself => {
                stopped = Stopped::TimedOut;
                running.kill();
                continue;
            }
            read = running.output.read(&mut buffer) => read,
        };
        match read {
            Ok(length) if length > 0 => log.write(&buffer[..length]),
            _ => break,
        }
    }
    // A process may close its output and go on.
    loop {
        tokio::select! {
            biased;
            () = &mut cancelled, if stopped == Stopped::ByItself => {
                stopped = Stopped::Cancelled;
                running.kill();
            }
            () = &mut due, if stopped == Stopped::ByItself => {
                stopped = Stopped::TimedOut;
                running.kill();
            }
            ended = running.wait() => return (stopped, ended),
        }
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
