//! Clients that ask, and do not take what they are answered.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tidegate::server::listen;
use tokio::sync::{mpsc, watch};

/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Told when the server has let go of an answer.
struct Answer(mpsc::Sender<()>);

impl Drop for Answer {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

fn endless(told: &mpsc::Sender<()>) -> Body {
    let answer = Answer(told.clone());
    Body::from_stream(stream::repeat_with(move || {
        let _held = &answer;
        Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 64 << 10]))
    }))
}

fn ask(server: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(server).expect("the server");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: ci.example.com\r\n\r\n").expect("asked");
    stream
}

#[test]
fn who_takes_nothing_of_an_answer_is_cut_off() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (told, mut gone) = mpsc::channel(8);
    let router = axum::Router::new().route("/", axum::routing::get(move || std::future::ready(endless(&told))));
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let server = listener.local_addr().expect("an address");
    let (_closing, closed) = watch::channel(false);
    let limits = listen::Limits { untaken: Duration::from_secs(1), ..listen::Limits::default() };
    runtime.spawn(listen::serve(listener, router, limits, closed));

    let idle = ask(server);
    let mut reader = ask(server);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..32 {
        reader.read_exact(&mut piece).expect("who reads is served");
    }
    let cut = runtime.block_on(async { tokio::time::timeout(PATIENCE, gone.recv()).await });
    cut.expect("it holds a connection for ever").expect("the server lives");
    drop((idle, reader));
}
