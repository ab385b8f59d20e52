//! An HTTP request as a function sees it: API Gateway's payload format 2.0.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName};
use hyper::{Method, Version};
use serde_json::{Map, Value, json};

/// One request, already read and routed.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub method: Method,
    pub version: Version,
    /// As it was sent, without the function's own part.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub client: SocketAddr,
    /// Where the gateway was reached.
    pub local: SocketAddr,
}

/// Headers that belong to one connection, not to the request. `Connection` may name more.
const HOP_BY_HOP: [&str; 8] = ["connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(&name.as_str())
}

/// The event's JSON. `at_ms` is when it came in.
pub fn render(request: &Incoming, function: &str, id: &str, at_ms: u64) -> Bytes {
    let domain = request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_owned();
    let (body, encoded) = encode(request);
    let mut event = Map::new();
    let mut set = |key: &str, value: Value| drop(event.insert(key.to_owned(), value));
    set("version", json!("2.0"));
    set("routeKey", json!("$default"));
    set("rawPath", json!(request.path));
    set("rawQueryString", json!(request.query));
    let cookies = cookies(&request.headers);
    if !cookies.is_empty() {
        set("cookies", json!(cookies));
    }
    set("headers", json!(headers(request)));
    let query = query(&request.query);
    if !query.is_empty() {
        set("queryStringParameters", json!(query));
    }
    set(
        "requestContext",
        json!({
            "accountId": "000000000000",
            "apiId": function,
            "domainName": domain,
            "domainPrefix": function,
            "http": {
                "method": request.method.as_str(),
                "path": request.path,
                "protocol": if request.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
                "sourceIp": request.client.ip().to_string(),
                "userAgent": request.headers.get("user-agent").map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()).unwrap_or_default(),
            },
            "requestId": id,
            "routeKey": "$default",
            "stage": "$default",
            "time": time(at_ms),
            "timeEpoch": at_ms,
        }),
    );
    if let Some(body) = body {
        set("body", json!(body));
    }
    set("isBase64Encoded", json!(encoded));
    Bytes::from(Value::Object(event).to_string())
}

fn time(at_ms: u64) -> String {
    i64::try_from(at_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map(|at| at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string())
        .unwrap_or_default()
}

/// Text where the request says that it is text and it is; otherwise base64.
fn encode(request: &Incoming) -> (Option<String>, bool) {
    if request.body.is_empty() {
        return (None, false);
    }
    let kind = request.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match std::str::from_utf8(&request.body) {
        Ok(text) if is_text(kind) => (Some(text.to_owned()), false),
        _ => (Some(STANDARD.encode(&request.body)), true),
    }
}

fn is_text(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(kind.as_str(), "application/json" | "application/javascript" | "application/xml" | "application/graphql")
}

/// Lower-case names, values joined by commas; what belongs to the connection is left out, and who asked is put in.
fn headers(request: &Incoming) -> BTreeMap<String, String> {
    let named: Vec<String> = request
        .headers
        .get_all(hyper::header::CONNECTION)
        .iter()
        .flat_map(|value| String::from_utf8_lossy(value.as_bytes()).split(',').map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>())
        .collect();
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &request.headers {
        if is_hop_by_hop(name) || name == COOKIE || named.iter().any(|named| named == name.as_str()) {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        joined.entry(name.as_str().to_owned()).and_modify(|all| *all = format!("{all},{value}")).or_insert_with(|| value.into_owned());
    }
    let client = request.client.ip().to_string();
    joined.entry("x-forwarded-for".to_owned()).and_modify(|all| *all = format!("{all}, {client}")).or_insert(client);
    joined.insert("x-forwarded-proto".to_owned(), "http".to_owned());
    joined.insert("x-forwarded-port".to_owned(), request.local.port().to_string());
    joined
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all(COOKIE).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect::<Vec<_>>().join(";");
    all.split(';').map(str::trim).filter(|cookie| !cookie.is_empty()).map(str::to_owned).collect()
}

/// Decoded; a name that is there several times has its values joined by commas.
fn query(text: &str) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value);
        joined.entry(decode(name)).and_modify(|all| *all = format!("{all},{value}")).or_insert(value);
    }
    joined
}

/// Percent and plus. What is no escape stands for itself.
fn decode(text: &str) -> String {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = match (byte, bytes.get(at + 1), bytes.get(at + 2)) {
            (b'%', Some(&high), Some(&low)) => hex(high).zip(hex(low)),
            _ => None,
        };
        at += if escaped.is_some() { 3 } else { 1 };
        plain.push(match escaped {
            Some((high, low)) => high * 16 + low,
            None if byte == b'+' => b' ',
            None => byte,
        });
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)], query: &str, body: &'static [u8]) -> Incoming {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        Incoming {
            method: Method::POST,
            version: Version::HTTP_11,
            path: "/a%20b".to_owned(),
            query: query.to_owned(),
            headers,
            body: Bytes::from_static(body),
            client: "192.0.2.7:5000".parse().unwrap(),
            local: "127.0.0.1:7070".parse().unwrap(),
        }
    }

    #[test]
    fn a_request_becomes_an_event_of_format_2_0() {
        let request = request(
            &[
                ("host", "hello.localhost:7070"),
                ("content-type", "application/json; charset=utf-8"),
                ("accept", "a"),
                ("accept", "b"),
                ("cookie", "x=1; y=2"),
                ("connection", "keep-alive, x-mine"),
                ("x-mine", "gone"),
                ("x-forwarded-for", "203.0.113.1"),
                ("user-agent", "curl"),
            ],
            "a=1&a=2&b=x+y%21&c&%zz=1",
            br#"{"n":1}"#,
        );
        let event: Value = serde_json::from_slice(&render(&request, "hello", "id-1", 1_700_000_000_123)).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&event).unwrap());
    }

    #[test]
    fn what_is_not_text_goes_as_base64() {
        for (kind, body, expected) in [
            ("application/octet-stream", &b"abc"[..], json!(["YWJj", true])),
            ("text/plain", &b"\xff"[..], json!(["/w==", true])),
            ("text/plain", &b"abc"[..], json!(["abc", false])),
            ("application/problem+json", &b"1"[..], json!(["1", false])),
            ("text/plain", &b""[..], json!([null, false])),
        ] {
            let event: Value = serde_json::from_slice(&render(&request(&[("content-type", kind)], "", body), "f", "id", 0)).unwrap();
            assert_eq!(json!([event["body"], event["isBase64Encoded"]]), expected, "{kind}");
        }
    }
}
