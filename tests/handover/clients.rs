//! Clients that do not stop asking, each request over a connection of its own, and what became of all of them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Became {
    /// The status, and that all of the answer came.
    Answered(u16),
    /// No connection.
    Refused(String),
    /// A connection, and no answer.
    Lost(String),
}

/// Asks once. `pause`: between the connection and the request, as of somebody far away.
pub fn ask(to: SocketAddr, path: &str, pause: Duration) -> Became {
    let mut stream = match TcpStream::connect(to) {
        Ok(stream) => stream,
        Err(error) => return Became::Refused(error.to_string()),
    };
    std::thread::sleep(pause);
    let mut exchange = || -> std::io::Result<String> {
        stream.set_read_timeout(Some(Duration::from_secs(90)))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match exchange() {
        Ok(answer) if answer.contains("\r\n\r\n") => Became::Answered(answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)),
        Ok(answer) => Became::Lost(format!("the connection ended after {answer:?}")),
        Err(error) => Became::Lost(error.to_string()),
    }
}

pub struct Clients {
    enough: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Became>>>,
}

impl Clients {
    /// Of each address and path: one that is quick, and one that takes its time within a connection.
    pub fn start(of: &[(SocketAddr, &'static str)]) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let start = |(to, path, pause): (SocketAddr, &'static str, u64)| {
            let enough = enough.clone();
            std::thread::spawn(move || {
                let mut became = Vec::new();
                while !enough.load(Ordering::Relaxed) {
                    became.push(ask(to, path, Duration::from_millis(pause)));
                    // So that one client does not use up all ports of the machine.
                    std::thread::sleep(Duration::from_millis(2));
                }
                became
            })
        };
        let threads = of.iter().flat_map(|(to, path)| [(*to, *path, 0), (*to, *path, 0), (*to, *path, 100)]).map(start).collect();
        Self { enough, threads }
    }

    pub fn count(&self) -> usize {
        self.threads.len()
    }

    pub fn end(self) -> Vec<Became> {
        self.enough.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

/// Those that were not answered with 200.
pub fn wrong(became: &[Became]) -> Vec<&Became> {
    became.iter().filter(|became| **became != Became::Answered(200)).collect()
}
