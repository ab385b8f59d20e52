//! `tidegate login URL`: keeps a token for a server, after the server has said that it is one.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::args::{Global, LoginArguments};
use super::exit::Exit;
use super::place::{Remote, RemoteError, address, forget, keep};
use super::print::{eprint, eprintln, println};
use super::session;
use crate::model::secret::Secret;
use crate::report::run::text::clean;

/// Bytes of a token.
const MAX: u64 = 4_096;

pub fn run(global: &Global, arguments: &LoginArguments) -> Exit {
    match answer(global, arguments) {
        Ok(()) => Exit::Success,
        Err(error) => session::fail(if error.is_usage() { Exit::Usage } else { Exit::Infrastructure }, error),
    }
}

fn answer(global: &Global, arguments: &LoginArguments) -> Result<(), RemoteError> {
    let url = address(&arguments.url, global.insecure_http)?;
    let server = url.origin().ascii_serialization();
    if arguments.forget {
        println!("{}", if forget(&url)? { format!("the token for {server} is forgotten") } else { format!("there was no token for {server}") });
        return Ok(());
    }
    let token = read(&server)?;
    if token.reveal().is_empty() {
        return Err(RemoteError::Usage("expected a token: `tidegate tokens create` on the server's machine makes one".to_owned()));
    }
    let remote = Remote::open(url.clone(), Some(token.clone()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let who = runtime.block_on(remote.whoami())?;
    let path = keep(&url, &token)?;
    println!("{server} knows you as {}; the token is kept in {}", clean(&who.name), path.display());
    Ok(())
}

/// A terminal does not show it.
fn read(server: &str) -> Result<Secret, RemoteError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let mut token = Vec::new();
        stdin.lock().take(MAX).read_to_end(&mut token)?;
        return Ok(Secret::new(token.trim_ascii()));
    }
    eprint!("Token for {server}: ");
    let before = tcgetattr(&stdin).map_err(std::io::Error::from)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(std::io::Error::from)?;
    let mut line = String::new();
    let read = stdin.lock().take(MAX).read_line(&mut line);
    let _ = tcsetattr(&stdin, OptionalActions::Flush, &before);
    eprintln!();
    read?;
    Ok(Secret::new(line.trim()))
}
