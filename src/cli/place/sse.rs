//! Server-sent events, as far as our own server sends them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Response;

/// Bytes of one event.
const MAX: usize = 4 << 20;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
}

impl Event {
    /// The bytes that an event of a log tells.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let value: serde_json::Value = serde_json::from_str(&self.data).ok()?;
        match (value["text"].as_str(), value["base64"].as_str()) {
            (Some(text), _) => Some(text.as_bytes().to_vec()),
            (None, Some(base64)) => STANDARD.decode(base64).ok(),
            (None, None) => None,
        }
    }
}

#[derive(Debug)]
pub struct Events {
    response: Response,
    kept: Vec<u8>,
}

impl Events {
    pub fn new(response: Response) -> Self {
        Self { response, kept: Vec::new() }
    }

    /// `None` when the stream is over; half an event is none.
    pub async fn next(&mut self) -> Result<Option<Event>, reqwest::Error> {
        loop {
            if let Some(event) = take(&mut self.kept) {
                return Ok(Some(event));
            }
            match self.response.chunk().await? {
                Some(piece) if self.kept.len() + piece.len() <= MAX => self.kept.extend_from_slice(&piece),
                _ => return Ok(None),
            }
        }
    }
}

/// The first whole event, without comments and what has no data.
fn take(kept: &mut Vec<u8>) -> Option<Event> {
    loop {
        let end = kept.windows(2).position(|two| two == b"\n\n")?;
        let block: Vec<u8> = kept.drain(..end + 2).collect();
        let (mut event, mut any) = (Event::default(), false);
        for line in String::from_utf8_lossy(&block).lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.name),
                "id" => value.clone_into(&mut event.id),
                "data" => {
                    if any {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                    any = true;
                }
                _ => {}
            }
        }
        if any {
            return Some(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_when_they_are_whole() {
        let mut kept = b":\n\nevent: log\nid: 5\ndata: {\"text\":\"a\\nb\"}\n\n:keep\n\nevent: e".to_vec();
        let event = take(&mut kept).expect("one");
        assert_eq!((event.name.as_str(), event.id.as_str(), event.bytes().as_deref()), ("log", "5", Some(&b"a\nb"[..])));
        assert_eq!((take(&mut kept), kept.as_slice()), (None, &b"event: e"[..]));
        kept.extend_from_slice(b"nd\ndata: {\"base64\":\"/w==\"}\n\n");
        assert_eq!(take(&mut kept).and_then(|event| event.bytes()), Some(vec![0xff]));
    }
}
