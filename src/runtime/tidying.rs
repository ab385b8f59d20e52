//! Mirrors are looked at when a server starts, and now and then while it serves: what years of fetching have left in them is put together.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
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
    thread: JoinHandle<()>,
}

impl Tidying {
    pub fn start(mirrors: Mirrors) -> io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let told = stopped.clone();
        let thread = thread::Builder::new().name("mirrors".to_owned()).spawn(move || {
            let go_on = || !told.load(Ordering::Relaxed);
            while go_on() {
                round(&mirrors, &go_on);
                // It may wake early: then this round is.
                thread::park_timeout(EVERY);
            }
        })?;
        Ok(Self { stopped, thread })
    }
}

impl Drop for Tidying {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
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
