//! A registry whose answers are written by hand.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Each connection brings one request; `answer` gets its head, and writes what it likes.
pub fn answers(listener: TcpListener, answer: impl Fn(&str, TcpStream) + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let answer = answer.clone();
            std::thread::spawn(move || {
                if let Some(head) = head(&mut stream) {
                    answer(&head, stream);
                }
            });
        }
    });
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|part| part == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(read @ 1..) => head.extend(&piece[..read]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
