//! HTTP/1.1: `CONNECT host:port`, which becomes a relay, and requests for `http://…`, each passed on over a connection of its own.
//!
//! A request is parsed and written anew, never copied: where two readers could disagree about where it ends, there is only one reader.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::http::uri::{Authority, Uri};
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::door::Settled;
use super::ledger::{Direction, Line};
use super::reach::{NotReached, Reached, Way};
use super::{HEAD_BYTES, HEAD_TIME, HEADERS, relay};
use crate::model::egress::{Blocked, Host};

type Reply = Response<UnsyncBoxBody<Bytes, hyper::Error>>;
/// What a `CONNECT` got hold of, for when its connection is free.
type Tunnel = Arc<Mutex<Option<(hyper::upgrade::OnUpgrade, Reached)>>>;

/// Headers that are about one connection, not about the request (RFC 9110, 7.6.1), and those that a body's framing is made of, which is made anew.
const OF_THE_CONNECTION: [&str; 10] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

pub async fn serve(client: TcpStream, way: &Way, settled: &Settled) {
    let tunnel = Tunnel::default();
    let service = hyper::service::service_fn(|request| {
        let (way, tunnel, settled) = (way.clone(), tunnel.clone(), settled.clone());
        async move { Ok::<_, Infallible>(answer(request, &way, &tunnel, &settled).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        // Some say all that they have to say before they listen.
        .half_close(true)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(client), service)
        .with_upgrades();
    // What goes wrong on a connection is its client's business: there is nobody to tell.
    let _ = connection.await;
    let taken = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((upgrade, reached)) = taken
        && let Ok(client) = upgrade.await
    {
        relay::relay(TokioIo::new(client), reached, way).await;
    }
}

async fn answer(mut request: Request<Incoming>, way: &Way, tunnel: &Tunnel, settled: &Settled) -> Reply {
    if request.method() == Method::CONNECT {
        let Some(to) = request.uri().authority().and_then(|authority| place(authority, None)) else {
            return say(StatusCode::BAD_REQUEST, "CONNECT needs host:port");
        };
        return match way.reach(&to.0, to.1).await {
            Ok(reached) => {
                settled.store(true, Ordering::Relaxed);
                let upgrade = hyper::upgrade::on(&mut request);
                *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, reached));
                Response::new(nothing())
            }
            Err(why) => refuse(&to, &why),
        };
    }
    let (Some("http"), Some(authority)) = (request.uri().scheme_str(), request.uri().authority()) else {
        return say(StatusCode::BAD_REQUEST, "this is a proxy: ask for http://host/path, or CONNECT host:port");
    };
    if request.headers().contains_key(CONTENT_LENGTH) && request.headers().contains_key(TRANSFER_ENCODING) {
        return say(StatusCode::BAD_REQUEST, "a request says once how long it is");
    }
    let Some(to) = place(authority, Some(80)) else { return say(StatusCode::BAD_REQUEST, "it is not clear whom this is for") };
    if let Err(named) = same_host(request.headers(), &to) {
        let why = way.block(&named, to.1, Blocked::OtherName { asked: to.0.clone() });
        return refuse(&(named, to.1), &why);
    }
    match way.reach(&to.0, to.1).await {
        Ok(reached) => {
            settled.store(true, Ordering::Relaxed);
            pass_on(request, reached).await.unwrap_or_else(|_| say(StatusCode::BAD_GATEWAY, "the server's answer is none"))
        }
        Err(why) => refuse(&to, &why),
    }
}

/// Host and port, if it says nothing else.
fn place(authority: &Authority, otherwise: Option<u16>) -> Option<(String, u16)> {
    let port = match (authority.port_u16(), otherwise) {
        (Some(port), _) => port,
        // A port that is none is not the usual one.
        (None, Some(port)) if authority.as_str().len() == authority.host().len() => port,
        _ => return None,
    };
    (!authority.as_str().contains('@') && port > 0).then(|| (authority.host().to_owned(), port))
}

/// A server goes by `Host`, so it must say what the request line says. The error is what it says instead.
fn same_host(headers: &HeaderMap, (host, port): &(String, u16)) -> Result<(), String> {
    let mut named = headers.get_all(HOST).iter();
    let (Some(one), None) = (named.next(), named.next()) else { return Err("several hosts, or none".to_owned()) };
    let said = one.to_str().ok().and_then(|text| text.parse::<Authority>().ok()).and_then(|authority| place(&authority, Some(80)));
    match said {
        Some((name, said)) if said == *port && Host::parse(&name).is_ok_and(|name| Host::parse(host) == Ok(name)) => Ok(()),
        Some((name, _)) => Err(name),
        None => Err(String::from_utf8_lossy(one.as_bytes()).into_owned()),
    }
}

async fn pass_on(request: Request<Incoming>, reached: Reached) -> hyper::Result<Reply> {
    let Reached { host, port, stream, line } = reached;
    let (sender, connection) = hyper::client::conn::http1::Builder::new().max_headers(HEADERS).handshake(TokioIo::new(stream)).await?;
    let mut sender = sender;
    // Ends with the answer's last byte, or when whoever waits for that is gone.
    tokio::spawn(connection);
    let (mut head, body) = request.into_parts();
    strip(&mut head.headers);
    // Made anew from the body, as its other framing is.
    head.headers.remove(CONTENT_LENGTH);
    let host = if port == 80 { host.to_string() } else { format!("{host}:{port}") };
    if let Ok(host) = HeaderValue::try_from(host) {
        head.headers.insert(HOST, host);
    }
    head.headers.insert("connection", HeaderValue::from_static("close"));
    head.uri = head.uri.path_and_query().map_or_else(|| Uri::from_static("/"), |path| path.clone().into());
    head.version = Version::HTTP_11;
    let reply = sender.send_request(Request::from_parts(head, counted(body, line.clone(), Direction::Up))).await?;
    if reply.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(say(StatusCode::BAD_GATEWAY, "the server wants to speak something else"));
    }
    let (mut head, body) = reply.into_parts();
    strip(&mut head.headers);
    head.version = Version::HTTP_11;
    Ok(Response::from_parts(head, counted(body, line, Direction::Down)))
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != CONTENT_LENGTH && *name != HOST)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
}

fn counted(body: Incoming, line: Line, direction: Direction) -> UnsyncBoxBody<Bytes, hyper::Error> {
    let count = move |frame: hyper::body::Frame<Bytes>| {
        line.count(direction, frame.data_ref().map_or(0, Bytes::len));
        frame
    };
    body.map_frame(count).boxed_unsync()
}

fn nothing() -> UnsyncBoxBody<Bytes, hyper::Error> {
    Full::default().map_err(|never| match never {}).boxed_unsync()
}

fn refuse((host, port): &(String, u16), why: &NotReached) -> Reply {
    let status = if let NotReached::Blocked(_) = why { StatusCode::FORBIDDEN } else { StatusCode::BAD_GATEWAY };
    say(status, &format!("{host}:{port} is {why}"))
}

fn say(status: StatusCode, text: &str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(format!("tidegate: {text}\n"))).map_err(|never| match never {}).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}
