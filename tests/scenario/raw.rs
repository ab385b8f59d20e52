//! What no HTTP client would send: requests that two servers could read in two ways are read in none.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::packages::function;
use crate::stage::Stage;

/// The status of every answer until the gateway closes the connection.
async fn statuses(address: SocketAddr, request: &[u8]) -> Vec<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answers = Vec::new();
    // A gateway that has heard enough may close before all is read.
    let _ = stream.read_to_end(&mut answers).await;
    let answers = String::from_utf8_lossy(&answers).into_owned();
    answers.split("HTTP/1.1 ").skip(1).map(|answer| answer.chars().take(3).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_servers_could_read_in_two_ways_is_refused() {
    let stage = Stage::new().await;
    stage.serve(&function("hello"), "hello-python").await;
    let address = stage.local.address();
    let smuggled = "GET /hello/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for (what, head, body, expected) in [
        ("the ordinary", "GET /hello/ HTTP/1.1\r\nHost: x\r\nConnection: close", "", "200"),
        ("two lengths", "POST /hello/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 44", smuggled, "400"),
        ("a length with a sign", "POST /hello/ HTTP/1.1\r\nHost: x\r\nContent-Length: +0", smuggled, "400"),
        ("a length that is a list", "POST /hello/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 0", smuggled, "400"),
        ("no chunks after all", "POST /hello/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity", smuggled, "400"),
        ("a space before the colon", "POST /hello/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked", smuggled, "400"),
        ("a folded header", "GET /hello/ HTTP/1.1\r\nHost: x\r\nA: b\r\n c: d", "", "400"),
        ("a zero byte", "GET /hello/ HTTP/1.1\r\nHost: x\r\nA: b\0c", "", "400"),
        ("two hosts", "GET /hello/ HTTP/1.1\r\nHost: hello.localhost\r\nHost: other.localhost\r\nConnection: close", "", "400"),
        ("a tunnel", "CONNECT hello:80 HTTP/1.1\r\nHost: hello:80\r\nConnection: close", "", "405"),
        ("a way up", "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close", "", "404"),
    ] {
        let request = format!("{head}\r\n\r\n{body}");
        assert_eq!(statuses(address, request.as_bytes()).await, [expected], "{what}");
    }
}
