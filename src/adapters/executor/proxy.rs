//! The proxy of one invocation, in a process of its own beside the sandbox (or the container): begun when there is a socket that listens inside, ended when
//! nothing of the step is left.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use crate::adapters::egress;
use crate::adapters::sandbox::{self, Beside};
use crate::model::egress::{Egress, Policy};

/// It has nothing to do then but to write down what it knows.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Proxy {
    control: UnixStream,
    learning: bool,
    _process: Beside,
}

impl Proxy {
    /// Serves `listener`, which listens in the network of the step. `held` stays open as long as the process lives. Only for a process with one thread.
    pub(super) fn begin(listener: OwnedFd, policy: Policy, held: BorrowedFd<'_>) -> io::Result<Self> {
        let (control, far) = UnixStream::pair()?;
        control.set_read_timeout(Some(PATIENCE))?;
        let learning = policy == Policy::Learn;
        let process = sandbox::beside(&[listener.as_fd(), far.as_fd(), held], || live(&listener, policy, &far))?;
        Ok(Self { control, learning, _process: process })
    }

    /// Nothing of the step is left: what it tried to reach.
    pub(super) fn end(self) -> Egress {
        let _ = self.control.shutdown(Shutdown::Write);
        sandbox::read_message(&self.control).unwrap_or(Egress { learning: self.learning, lost: true, ..Egress::default() })
    }
}

fn live(listener: &OwnedFd, policy: Policy, control: &UnixStream) -> ExitCode {
    let serve = || {
        let egress = egress::serve(listener.try_clone()?, policy, control.try_clone()?)?;
        control.set_nonblocking(false)?;
        sandbox::write_message(control, &egress)
    };
    let told: io::Result<()> = serve();
    if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
