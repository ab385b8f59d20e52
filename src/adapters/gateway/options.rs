//! What a gateway is told, and the limits that it holds.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use crate::adapters::sandbox::Isolation;

/// A listener that was opened by somebody else, for the first who takes it: whoever kept another one would hold the port open.
#[derive(Debug, Clone, Default)]
pub struct Handed(Arc<Mutex<Option<TcpListener>>>);

impl Handed {
    pub fn take(&self) -> Option<TcpListener> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl From<Option<TcpListener>> for Handed {
    fn from(listener: Option<TcpListener>) -> Self {
        Self(Arc::new(Mutex::new(listener)))
    }
}

/// How a gateway hosts functions.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Where clients reach it.
    pub listen: SocketAddr,
    /// Open there already: instead of opening `listen`.
    pub listener: Handed,
    /// How far instances are kept apart.
    pub isolation: Isolation,
    /// Protections without which no instance starts.
    pub required: Vec<String>,
    /// Host folders shown read-only inside, with their `bin` on `PATH`.
    pub host_tools: Vec<PathBuf>,
    /// A folder for the logs of instances.
    pub logs: PathBuf,
    /// An instance that has had nothing to do for so long is ended.
    pub idle: Duration,
    /// How long an instance may take until it asks for its first invocation.
    pub init_timeout: Duration,
}

impl GatewayOptions {
    pub fn new(listen: SocketAddr, logs: PathBuf) -> Self {
        Self {
            listen,
            listener: Handed::default(),
            isolation: Isolation::Full,
            required: Vec::new(),
            host_tools: Vec::new(),
            logs,
            idle: Duration::from_secs(300),
            init_timeout: Duration::from_secs(10),
        }
    }
}

/// Largest request body, event and answer: Lambda's own limit.
pub const BODY_LIMIT: usize = 6 << 20;
/// What an event adds to a body: base64 and the envelope. An answer may carry a base64 body as well.
pub const PAYLOAD_LIMIT: usize = BODY_LIMIT + BODY_LIMIT / 3 + (64 << 10);
/// Bytes of a function's error that are read; no more is of use to anybody.
pub const ERROR_LIMIT: usize = 256 << 10;
/// An instance's private `/tmp`, as on Lambda.
pub const TMP_BYTES: u64 = 512 << 20;
/// Connections of clients at once.
pub const CONNECTIONS: usize = 1024;
/// Connections of one instance to its Runtime API at once.
pub const INSTANCE_CONNECTIONS: usize = 16;
/// Request line and headers together.
pub const HEADER_BYTES: usize = 64 << 10;
pub const HEADERS: usize = 128;
/// For a client to send its headers, or the next request on a connection that is kept open.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// For a client to send its body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// A start has the machine for itself (and few others) for so long.
pub const START_TURN: Duration = Duration::from_secs(1);
/// For the first request of a connection that was accepted before the server closes.
pub const FIRST_REQUEST: Duration = Duration::from_secs(3);
/// For requests under way to end when the gateway closes.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// For the processes of instances to be gone then.
pub const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes kept of an instance's log: the first so many, and (at least) the last so many.
pub const LOG_HEAD: u64 = 1 << 20;
pub const LOG_TAIL: u64 = 1 << 20;
/// Logs kept per function.
pub const LOG_FILES: usize = 32;
/// Durations kept between two looks of an observer, per destination.
pub const DURATIONS: usize = 1 << 18;
