//! A registry that repeats the password in what it says.

use std::io::Write as _;
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::byhand;

use super::{Home, PASSWORD, USER, auths, configuration, nowhere, seen, world};

/// Whoever says who it is there, is told to everybody.
fn tell_tale(head: &str, mut stream: TcpStream, code: &str) {
    let said = head.lines().find(|line| line.to_lowercase().starts_with("authorization:"));
    let (status, message) = match said {
        None => ("401 Unauthorized", "who are you?".to_owned()),
        Some(said) => {
            let plain = said.rsplit(' ').next().and_then(|word| STANDARD.decode(word).ok()).unwrap_or_default();
            ("400 Bad Request", format!("you said {said}, which is {}", String::from_utf8_lossy(&plain)))
        }
    };
    let body = serde_json::json!({"errors": [{"code": code, "message": message, "detail": message}]}).to_string();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nwww-authenticate: Basic realm=\"tests\"\r\ncontent-type: application/json\r\ndocker-distribution-api-version: registry/2.0\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
}

#[test]
fn a_registry_that_repeats_the_password_is_not_repeated() {
    let test = "private::tale::a_registry_that_repeats_the_password_is_not_repeated";
    for home in Home::all(test) {
        let listener = home.listener();
        let host = listener.local_addr().unwrap().to_string();
        // Engines try what they do not know again and again; the sandbox has words of its own for what it knows.
        let code = if matches!(home, Home::Sandbox) { "UNKNOWN" } else { "DENIED" };
        byhand::answers(listener, move |head, stream| tell_tale(head, stream, code));
        let world = world(&format!("{host}/own/app:1"), "echo ran");
        let folder = configuration(&world, "login", &auths(&host, USER, PASSWORD));
        let seen = seen(home.run(&world, "missing", &[("DOCKER_CONFIG", folder.as_os_str())])).expect(4);
        assert!(seen.all().contains("infrastructure"), "{}", seen.all());
        // It did say it: what is left of that is a mark.
        assert!(seen.all().contains('…'), "{}: {}", home.name(), seen.all());
        nowhere(&world, &seen);
    }
}
