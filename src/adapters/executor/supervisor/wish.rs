//! What is done with what a step has left (an image made of it, its outputs taken) takes time as well. Whoever stops the step stops that too, and so does the
//! clock.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::ending::Stopped;
use super::followers::Followers;

/// Between two looks: each is a few system calls.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks now and then whether there is a reason to stop.
pub(in super::super) struct Wish<'a> {
    followers: RefCell<&'a mut Followers>,
    /// `None`: further away than the clock reaches.
    deadline: Option<Instant>,
    next: Cell<Instant>,
    stopped: Cell<Stopped>,
}

impl<'a> Wish<'a> {
    pub(in super::super) fn until(followers: &'a mut Followers, deadline: Option<Instant>) -> Self {
        Self { followers: RefCell::new(followers), deadline, next: Cell::new(Instant::now()), stopped: Cell::new(Stopped::ByItself) }
    }

    /// Once it is, it stays so.
    pub(in super::super) fn is_over(&self) -> bool {
        let now = Instant::now();
        if now >= self.next.get() {
            self.next.set(now + PAUSE);
            if self.followers.borrow_mut().hear() {
                self.stopped.set(Stopped::Cancelled);
            } else if self.deadline.is_some_and(|deadline| deadline <= now) {
                self.stopped.set(Stopped::TimedOut);
            }
        }
        self.stopped.get() != Stopped::ByItself
    }

    /// Why.
    pub(in super::super) fn stopped(&self) -> Stopped {
        self.stopped.get()
    }
}
