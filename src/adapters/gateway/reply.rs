//! A function's answer as HTTP: payload format 2.0 backwards. What a function says can spoil its own answer, never the connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value};

use super::event::is_hop_by_hop;
use super::http::Reply;
use super::options::{BODY_LIMIT, HEADER_BYTES, HEADERS};

/// Headers by which clients know what the gateway itself says. A function does not speak for it.
const OURS: &str = "x-tidegate-";

/// Reads what the runtime posted. The error says what was wrong with it, for the log.
pub fn read(payload: &Bytes, streamed: bool) -> Result<Reply, String> {
    if streamed {
        return read_streamed(payload);
    }
    let value: Value = serde_json::from_slice(payload).map_err(|error| format!("its answer is not JSON: {error}"))?;
    match value {
        Value::Object(mut fields) if fields.contains_key("statusCode") => {
            let body = body(&mut fields)?;
            build(fields, body)
        }
        // Anything else is the body itself.
        _ => finish(Response::new(Full::new(payload.clone())), payload.len()),
    }
}

/// Streamed answers begin with their head as JSON and eight zero bytes.
fn read_streamed(payload: &Bytes) -> Result<Reply, String> {
    let end = payload.windows(8).position(|window| window == [0; 8]).ok_or("its streamed answer has no end of its head (eight zero bytes)")?;
    let fields: Value = serde_json::from_slice(&payload[..end]).map_err(|error| format!("the head of its streamed answer is not JSON: {error}"))?;
    match fields {
        Value::Object(fields) => build(fields, payload.slice(end + 8..)),
        _ => Err("the head of its streamed answer is no object".to_owned()),
    }
}

fn body(fields: &mut Map<String, Value>) -> Result<Bytes, String> {
    let encoded = matches!(fields.get("isBase64Encoded"), Some(Value::Bool(true)));
    match fields.remove("body") {
        None | Some(Value::Null) => Ok(Bytes::new()),
        Some(Value::String(text)) if encoded => STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("its body is not base64: {error}")),
        Some(Value::String(text)) => Ok(Bytes::from(text)),
        Some(_) => Err("its body is not a string".to_owned()),
    }
}

fn build(mut fields: Map<String, Value>, body: Bytes) -> Result<Reply, String> {
    let status = match fields.get("statusCode") {
        None => StatusCode::OK,
        Some(code) => status(code).ok_or_else(|| format!("its statusCode is {code}, expected a number from 200 to 599"))?,
    };
    let length = body.len();
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    if let Some(headers) = fields.remove("headers").filter(|headers| !headers.is_null()) {
        let Value::Object(headers) = headers else { return Err("its headers are no object".to_owned()) };
        for (name, value) in headers {
            let (name, value) = header(&name, &value)?;
            if !is_hop_by_hop(&name) && name != CONTENT_LENGTH && !name.as_str().starts_with(OURS) {
                reply.headers_mut().insert(name, value);
            }
        }
    }
    if let Some(cookies) = fields.remove("cookies").filter(|cookies| !cookies.is_null()) {
        let Value::Array(cookies) = cookies else { return Err("its cookies are no list".to_owned()) };
        for cookie in cookies {
            let (name, value) = header(SET_COOKIE.as_str(), &cookie)?;
            reply.headers_mut().append(name, value);
        }
    }
    finish(reply, length)
}

fn status(code: &Value) -> Option<StatusCode> {
    let code = code.as_u64().or_else(|| code.as_str().and_then(|text| text.parse().ok()))?;
    u16::try_from(code).ok().filter(|code| (200..600).contains(code)).and_then(|code| StatusCode::from_u16(code).ok())
}

fn header(name: &str, value: &Value) -> Result<(HeaderName, HeaderValue), String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return Err(format!("its header {name:?} is not a string")),
    };
    let good = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no name of a header"))?;
    let value = HeaderValue::from_str(&text).map_err(|_| format!("its header {name:?} has a value that HTTP does not allow"))?;
    Ok((good, value))
}

fn finish(mut reply: Reply, length: usize) -> Result<Reply, String> {
    if length > BODY_LIMIT {
        return Err(format!("its body has {length} bytes, at most {BODY_LIMIT} are allowed"));
    }
    let headers = reply.headers_mut();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > HEADERS || bytes > HEADER_BYTES {
        return Err(format!("its answer has {} headers with {bytes} bytes, at most {HEADERS} with {HEADER_BYTES} are allowed", headers.len()));
    }
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn shown(reply: Reply) -> String {
        let (head, body) = reply.into_parts();
        let headers: Vec<String> = head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        let body = body.collect().await.unwrap().to_bytes();
        format!("{} [{}] {}", head.status.as_u16(), headers.join("; "), String::from_utf8_lossy(&body))
    }

    #[tokio::test]
    async fn answers_become_http() {
        for (payload, expected) in [
            (r#"{"statusCode":201,"headers":{"X-A":"1","X-N":2},"body":"hi"}"#, "201 [x-a: 1; x-n: 2; content-type: application/json] hi"),
            (r#"{"statusCode":"404"}"#, "404 [content-type: application/json] "),
            (r#"{"statusCode":200,"cookies":["a=1","b=2"],"body":"x"}"#, "200 [set-cookie: a=1; set-cookie: b=2; content-type: application/json] x"),
            (
                r#"{"statusCode":200,"headers":{"content-type":"text/plain"},"body":"aGk=","isBase64Encoded":true}"#,
                "200 [content-type: text/plain] hi",
            ),
            (
                r#"{"statusCode":200,"headers":{"Transfer-Encoding":"chunked","Content-Length":"99","Connection":"close"}}"#,
                "200 [content-type: application/json] ",
            ),
            (
                r#"{"statusCode":200,"headers":{"X-Tidegate-Release":"other v9","x-tidegate-function-error":"Runtime.ExitError","x-mine":"1"}}"#,
                "200 [x-mine: 1; content-type: application/json] ",
            ),
            (r#"{"hello":"world"}"#, r#"200 [content-type: application/json] {"hello":"world"}"#),
            (r#""text""#, r#"200 [content-type: application/json] "text""#),
            ("null", "200 [content-type: application/json] null"),
        ] {
            assert_eq!(shown(read(&Bytes::from(payload), false).unwrap()).await, expected, "{payload}");
        }
        let streamed = Bytes::from("{\"statusCode\":202,\"headers\":{\"content-type\":\"text/html\"}}\0\0\0\0\0\0\0\0<p>");
        assert_eq!(shown(read(&streamed, true).unwrap()).await, "202 [content-type: text/html] <p>");
    }

    #[test]
    fn nonsense_is_not_passed_on() {
        for payload in [
            "",
            "not json",
            "\u{0}",
            r#"{"statusCode":99}"#,
            r#"{"statusCode":101}"#,
            r#"{"statusCode":99999999999}"#,
            r#"{"statusCode":200,"body":{}}"#,
            r#"{"statusCode":200,"body":"%%%","isBase64Encoded":true}"#,
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
            r#"{"statusCode":200,"headers":{"a":"b\r\nset-cookie: x=1"}}"#,
            r#"{"statusCode":200,"headers":[]}"#,
            r#"{"statusCode":200,"cookies":["a\nb"]}"#,
        ] {
            assert!(read(&Bytes::from(payload), false).is_err(), "{payload}");
        }
        assert!(read(&Bytes::from("{}"), true).is_err());
        let many: Map<String, Value> = (0..HEADERS + 1).map(|n| (format!("x-{n}"), Value::from("1"))).collect();
        assert!(read(&Bytes::from(serde_json::json!({ "statusCode": 200, "headers": many }).to_string()), false).is_err());
        let large = serde_json::json!({ "statusCode": 200, "body": "x".repeat(BODY_LIMIT + 1) });
        assert!(read(&Bytes::from(large.to_string()), false).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_payload_upsets_it(payload: Vec<u8>, streamed: bool) {
            let _ = read(&Bytes::from(payload), streamed);
        }
    }
}
