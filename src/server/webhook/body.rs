//! Bodies: read within a time and a length, counted against what all of them may have together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::EXPECT;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::head::Head;
use super::{Limits, RETRY_AFTER};
use crate::server::problem::Problem;

/// Bytes that room is given in.
const UNIT: usize = 1 << 10;
/// Bytes beyond the limit of a body that are read and thrown away, so that whoever sends them gets to read the answer.
const SPARE: usize = 8 << 20;
/// As long as that may take, where nothing is wanted of it any more.
const SPARE_TIME: Duration = Duration::from_secs(5);

/// Room for bytes in memory. It is taken as they come: who only says that many will come holds next to nothing.
pub(super) struct Room {
    all: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Room {
    pub fn all(bytes: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS)))
    }

    fn none(all: &Arc<Semaphore>) -> Self {
        Self { all: all.clone(), held: None, bytes: 0 }
    }

    fn grow(&mut self, bytes: usize) -> Option<()> {
        let units = (self.bytes + bytes).div_ceil(UNIT) - self.bytes.div_ceil(UNIT);
        let more = self.all.clone().try_acquire_many_owned(u32::try_from(units).ok()?).ok()?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        self.bytes += bytes;
        Some(())
    }
}

/// A whole body, and the room that it takes.
pub(super) struct Taken {
    pub body: Vec<u8>,
    pub room: Room,
}

pub(super) async fn take(mut body: Body, head: &Head, room: &Arc<Semaphore>, limits: Limits) -> Result<Taken, Problem> {
    let deadline = Instant::now() + limits.body_time;
    let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    let mut taken = Taken { body: Vec::new(), room: Room::none(room) };
    // A form is there twice when it is decoded.
    let copies = if head.form { 2 } else { 1 };
    while let Some(frame) = timeout_at(deadline, body.frame()).await.map_err(slow)? {
        let frame = frame.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body was cut short"))?;
        let Ok(data) = frame.into_data() else { continue };
        let more = growth(&taken.body, data.len(), head.length);
        if taken.room.grow(more * copies).is_none() {
            drop(taken);
            throw_away(body, limits.body, deadline).await;
            let why = "too many bytes are under way: send it again";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(RETRY_AFTER));
        }
        taken.body.reserve_exact((taken.body.capacity() + more).saturating_sub(taken.body.len()));
        taken.body.extend_from_slice(&data);
    }
    Ok(taken)
}

/// By how much a body's memory grows for what has come: to twice as much as there is then, and never beyond what was said.
fn growth(body: &Vec<u8>, came: usize, said: usize) -> usize {
    let needed = body.len() + came;
    if needed <= body.capacity() { 0 } else { (needed * 2).min(said.max(needed)) - body.capacity() }
}

/// Of a request that is refused for its head: who still sends would not read the answer otherwise. Not where the client waits to be told to send, and not
/// where far more would come than is waited for.
pub(super) async fn let_it_finish(body: Body, headers: &HeaderMap, limits: Limits) {
    let most = limits.body + SPARE;
    if !headers.contains_key(EXPECT) && body.size_hint().lower() <= most as u64 {
        throw_away(body, most, Instant::now() + limits.body_time.min(SPARE_TIME)).await;
    }
}

async fn throw_away(mut body: Body, most: usize, deadline: Instant) {
    let mut seen = 0;
    while seen <= most {
        let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await else { return };
        seen += frame.data_ref().map_or(0, |data| data.len());
    }
}

/// Levels that are read at most; whatever reads a body later has the same limit.
const LEVELS: usize = 128;

/// An object and nothing behind it. Read without keeping anything: what it means is for later.
pub(super) fn is_json(body: &[u8]) -> Result<(), Problem> {
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let text = std::str::from_utf8(body).map_err(|error| bad(format!("the body is not UTF-8, from byte {} on", error.valid_up_to())))?;
    if !text.trim_start().starts_with('{') {
        return Err(bad("the body is no JSON object".to_owned()));
    }
    // Level by level, depth has a limit and half a character written as a number is none. What can have neither is skipped over, in half the time; whether each of its
    // numbers has a place in one of ours is then for whoever reads it.
    let read = if is_plain(body) { serde_json::from_slice::<IgnoredAny>(body).map(drop) } else { serde_json::from_str::<Skimmed>(text).map(drop) };
    read.map_err(|error| bad(format!("the body is not JSON: {error}")))
}

fn is_plain(body: &[u8]) -> bool {
    memchr::memmem::find(body, br"\u").is_none() && memchr::memchr2_iter(b'{', b'[', body).nth(LEVELS - 1).is_none()
}

/// Any JSON, level by level.
struct Skimmed;

impl<'de> Deserialize<'de> for Skimmed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Skim)
    }
}

struct Skim;

impl<'de> Visitor<'de> for Skim {
    type Value = Skimmed;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Skimmed, E> {
        Ok(Skimmed)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Skimmed, E> {
        Ok(Skimmed)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Skimmed, E> {
        Ok(Skimmed)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Skimmed, E> {
        Ok(Skimmed)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Skimmed, E> {
        Ok(Skimmed)
    }
    fn visit_str<E>(self, _: &str) -> Result<Skimmed, E> {
        Ok(Skimmed)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Skimmed, A::Error> {
        while all.next_element::<Skimmed>()?.is_some() {}
        Ok(Skimmed)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Skimmed, A::Error> {
        while all.next_entry::<Skimmed, Skimmed>()?.is_some() {}
        Ok(Skimmed)
    }
}
