//! The way out of a step that may reach certain hosts: a proxy on the loopback of its otherwise empty network, served from outside.
//!
//! ```text
//! step ──127.0.0.1──▶ door ─┬─▶ http   CONNECT, and plain requests in absolute form ─┐
//!                           └─▶ socks  version 5, CONNECT                            ├─▶ reach: rules, then the name, then each of its addresses ─▶ relay
//!                                                                                    │                                   (bytes as they are; the first
//!                      ledger: every attempt, allowed or not ◀───────────────────────┘                                    words of TLS are looked at)
//! ```
//!
//! - The rules are asked before a name is looked up: no question of a step's reaches the DNS that is not about a listed name.
//! - The address that was checked is the one that is connected to, and each connection is checked anew: a name that means something else a moment later
//!   leads nowhere.
//! - TLS is not opened. The name that its first message asks for must be the one that was allowed.
//! - Everything is bounded: connections, heads, time for both, lookups, buffers, the record.
//! - Knows nothing of steps and sandboxes: a listening socket, a policy, and somebody whose end of a socket is the sign to stop.

mod door;
mod hello;
mod http;
mod ledger;
mod reach;
mod relay;
mod socks;

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use crate::model::egress::{Egress, Policy};
use ledger::Ledger;
use reach::Way;

/// Where the proxy is inside. Nobody knows it for anything else.
pub const PORT: u16 = 9128;

/// Connections at once. Past it, the one that has waited longest without having asked for anything makes room, or the next waits.
const CONNECTIONS: usize = 256;
/// For a whole head, and between two requests.
const HEAD_TIME: Duration = Duration::from_secs(10);
const HEAD_BYTES: usize = 32 << 10;
const HEADERS: usize = 100;
const LOOKUP_TIME: Duration = Duration::from_secs(10);
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Names that are being looked up at once: each takes a thread.
const LOOKUPS: usize = 4;
/// Of one name.
const ADDRESSES: usize = 8;
const BUFFER: usize = 16 << 10;

/// What a step must be told to find it. `near`: hosts that are reached without it.
pub fn environment<'a>(near: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (String, String)> {
    let near = ["localhost", "127.0.0.1", "::1"].into_iter().chain(near).collect::<Vec<_>>().join(",");
    let (http, socks) = (format!("http://127.0.0.1:{PORT}"), format!("socks5h://127.0.0.1:{PORT}"));
    let told = [("http_proxy", http.clone()), ("https_proxy", http), ("all_proxy", socks), ("no_proxy", near)];
    told.into_iter().flat_map(|(name, value)| [(name.to_uppercase(), value.clone()), (name.to_owned(), value)])
}

/// Serves until the other end of `ending` is closed, and answers what was tried. It runs on this thread, and on a few more that look up names.
pub fn serve(listener: OwnedFd, policy: Policy, ending: UnixStream) -> io::Result<Egress> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(LOOKUPS).thread_stack_size(512 << 10).build()?;
    let ledger = Ledger::new(policy == Policy::Learn);
    let way = Way::new(policy, ledger.clone());
    runtime.block_on(async {
        let listener = TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        ending.set_nonblocking(true)?;
        let mut ending = tokio::net::UnixStream::from_std(ending)?;
        let mut byte = [0];
        tokio::select! {
            () = door::serve(&listener, &way) => {}
            _ = ending.read(&mut byte) => {}
        }
        Ok::<_, io::Error>(())
    })?;
    // A lookup that hangs is nobody's any more.
    runtime.shutdown_background();
    Ok(ledger.close())
}
