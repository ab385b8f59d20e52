//! A client that can also send what no client would.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};

pub const SECRET: &str = "It's a Secret to Everybody";
/// So long a test waits for an answer before it is none.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any key").chain_update(body);
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// A request whose every part can be another one.
#[derive(Clone)]
pub struct Post {
    pub method: &'static str,
    pub path: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Post {
    /// As GitHub sends it.
    pub fn new(id: &str, event: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let headers = [
            ("host", "ci.example.com"),
            ("user-agent", "GitHub-Hookshot/044aadd"),
            ("content-type", "application/json"),
            ("content-length", &body.len().to_string()),
            ("x-github-event", event),
            ("x-github-delivery", id),
            ("x-hub-signature-256", &sign(SECRET, &body)),
        ];
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { method: "POST", path: "/hooks/github", headers, body }
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    /// Besides what there is.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }

    pub fn send(&self, to: SocketAddr) -> Answer {
        let mut stream = connect(to);
        // The other side may have heard enough.
        let _ = stream.write_all(&self.bytes());
        read(&mut stream)
    }
}

pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 0 if the connection ended without one.
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// One answer.
pub fn read(stream: &mut TcpStream) -> Answer {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(answer) = whole(&seen) {
            return answer;
        }
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => seen.extend_from_slice(&piece[..n]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => panic!("no answer in time"),
            Err(_) => break,
        }
    }
    whole(&seen).unwrap_or_else(|| Answer { status: 0, head: String::from_utf8_lossy(&seen).into_owned(), body: String::new() })
}

fn whole(seen: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(seen);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_lowercase();
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().expect("a number"));
    let status = head.split(' ').nth(1)?.parse().ok()?;
    (body.len() >= length).then(|| Answer { status, body: body[..length].to_owned(), head })
}
