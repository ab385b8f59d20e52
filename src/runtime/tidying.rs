//! Mirrors are looked at when a server starts, and now and then while it serves: what years of fetching have left in them is put together.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use crate::adapters::source::mirror::{Limits, Mirrors, Tidied};
use crate::model::text::clean;

/// From the end of one round to the next.
const EVERY: Duration = Duration::from_secs(600);
/// Packs that one mirror gets in one round: the others are to have their turn.
const TURN: usize = 10;

/// A thread beside everything else. It is told to stop when this is dropped, and nobody waits for it: what it is at can be left at any moment.
#[derive(Debug)]
pub struct Tidying {
    stopped: Arc<AtomicBool>,
    /// Dropped, it wakes the thread.
    _alive: SyncSender<()>,
}

impl Tidying {
    pub fn start(mirrors: Mirrors) -> io::Result<Self> {
        let (stopped, (alive, gone)) = (Arc::new(AtomicBool::new(false)), mpsc::sync_channel(0));
        let told = stopped.clone();
        thread::Builder::new().name("mirrors".to_owned()).spawn(move || {
            let go_on = || !told.load(Ordering::Relaxed);
            now_and_then(&gone, EVERY, || round(&mirrors, &go_on));
        })?;
        Ok(Self { stopped, _alive: alive })
    }
}

impl Drop for Tidying {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Until whoever wants it is gone. A parked thread would be woken by the end of those that a round has begun, and do nothing but rounds.
fn now_and_then(gone: &Receiver<()>, every: Duration, round: impl Fn()) {
    loop {
        round();
        if !matches!(gone.recv_timeout(every), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

fn round(mirrors: &Mirrors, go_on: &(dyn Fn() -> bool + Sync)) {
    for known in mirrors.all_known() {
        for _ in 0..TURN {
            match mirrors.tidy(&known.name, &Limits::default(), go_on) {
                Ok(Tidied::Packed { packs, objects }) => {
                    tracing::info!(repository = clean(&known.name), packs, objects, "packs of its mirror are one now");
                }
                Ok(Tidied::Nothing) => break,
                Ok(Tidied::Stopped) => return,
                Err(error) => {
                    tracing::warn!("{}", clean(&error.to_string()));
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_wakes_its_own_thread_is_followed_by_no_other_one() {
        let ((alive, gone), (done, rounds)) = (mpsc::sync_channel(0), mpsc::sync_channel(16));
        let tidying = thread::spawn(move || {
            now_and_then(&gone, EVERY, || {
                thread::scope(|scope| drop(scope.spawn(|| {})));
                thread::current().unpark();
                let _ = done.try_send(());
            });
        });
        rounds.recv().expect("the first one");
        drop(alive);
        tidying.join().expect("it ends");
        assert_eq!(rounds.iter().count(), 0);
    }
}
