//! What a step said: the bytes of its log, all or a range of them.

use std::path::PathBuf;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use utoipa::IntoParams;

use super::extract::{Path, Query};
use super::{Api, Problem, page};
use crate::adapters::journal::Journal as _;
use crate::adapters::state::service_log;
use crate::model::fact::{Fact, RunFact, Stream};
use crate::model::id::{NodeId, RunId};

/// Bytes that are read at once.
const PIECE: u64 = 64 << 10;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// What a service beside the step said instead.
    pub service: Option<String>,
    /// From this byte on [default: 0]
    pub offset: Option<u64>,
}

/// The log of one attempt that has begun. The names become a file's only after a fact has been found that has them.
pub async fn file(api: &Api, run: &RunId, node: &str, attempt: u32, service: Option<&str>) -> Result<PathBuf, Problem> {
    let stream = Stream::Run(run.clone());
    let (node, mut after) = (NodeId::new(node), 0);
    loop {
        let facts = api.records.journal.read_after(&stream, after, super::runs::FACTS).await?;
        let begun =
            |fact: &Fact| matches!(fact, Fact::Run(RunFact::InvocationStarted { node: of, attempt: nth, .. }) if *of == node && *nth == attempt);
        if facts.iter().any(|entry| begun(&entry.fact)) {
            let log = api.records.state.log(run, &node, attempt);
            return Ok(service.map_or_else(|| log.clone(), |service| service_log(&log, service)));
        }
        match facts.last() {
            Some(last) => after = last.number,
            None => return Err(Problem::unknown(format!("run {run} has not begun an attempt {attempt} of such a step"))),
        }
    }
}

/// What an attempt of a step has said so far, as it was said.
///
/// `Range: bytes=…` is obeyed where it names one range.
#[utoipa::path(get, path = "/api/v1/runs/{run}/logs/{node}/{attempt}", tag = "runs",
    params(("run" = String, Path), ("node" = String, Path, description = "The step's name, with its matrix values"), ("attempt" = u32, Path), Which),
    responses((status = 200, body = String, content_type = "text/plain; charset=utf-8"), (status = 206, body = String, content_type = "text/plain; charset=utf-8")))]
pub async fn text(
    State(api): State<Api>,
    Path((run, node, attempt)): Path<(String, String, u32)>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    page::text("service", which.service.as_ref())?;
    let run = api.records.run_id(&run).await?;
    let path = file(&api, &run, &node, attempt, which.service.as_deref()).await?;
    let file = match File::open(&path).await {
        Ok(file) => Some(file),
        // It has begun and said nothing yet; or there is no such service.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let length = match &file {
        Some(file) => file.metadata().await?.len(),
        None => 0,
    };
    let asked = match which.offset {
        Some(offset) => Some((offset.min(length), length)),
        None => range(&headers, length)?,
    };
    let (from, to) = asked.unwrap_or((0, length));
    let partial = asked.is_some() && which.offset.is_none();
    let status = if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let body = match file {
        Some(file) => bytes(file, from, to).await?,
        None => Body::empty(),
    };
    let kind =
        [(CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (ACCEPT_RANGES, "bytes".to_owned()), (CONTENT_LENGTH, (to - from).to_string())];
    let mut response = (status, kind, body).into_response();
    if partial && let Ok(range) = format!("bytes {from}-{}/{length}", to - 1).parse() {
        response.headers_mut().insert(CONTENT_RANGE, range);
    }
    Ok(response)
}

/// As a file that grows: what comes later is not part of this answer.
async fn bytes(mut file: File, from: u64, to: u64) -> Result<Body, Problem> {
    file.seek(std::io::SeekFrom::Start(from)).await?;
    let pieces = stream::try_unfold((file, to - from), async |(mut file, left)| {
        if left == 0 {
            return Ok::<_, std::io::Error>(None);
        }
        let mut piece = vec![0; usize::try_from(left.min(PIECE)).unwrap_or(0)];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        let left = if read == 0 { 0 } else { left - read as u64 };
        Ok(Some((Bytes::from(piece), (file, left))))
    });
    Ok(Body::from_stream(pieces))
}

/// The one range that is asked for, from its first byte to behind its last. Several, or what is no range of bytes: all of it, as the standard has it.
fn range(headers: &HeaderMap, length: u64) -> Result<Option<(u64, u64)>, Problem> {
    let Some(given) = headers.get(RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes=")) else { return Ok(None) };
    let Some((first, last)) = given.trim().split_once('-') else { return Ok(None) };
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if last >= first => (first, last.saturating_add(1).min(length)),
        (Some(first), None) if last.is_empty() => (first, length),
        (None, Some(last)) if first.is_empty() => (length.saturating_sub(last), length),
        _ => return Ok(None),
    };
    if range.0 < range.1 { Ok(Some(range)) } else { Err(Problem::range(length)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let asked = |text: &str| range(&HeaderMap::from_iter([(RANGE, text.parse().unwrap())]), 10).map_err(|problem| problem.status);
        assert_eq!(asked("bytes=2-4"), Ok(Some((2, 5))));
        assert_eq!(asked("bytes=2-"), Ok(Some((2, 10))));
        assert_eq!(asked("bytes=-3"), Ok(Some((7, 10))));
        assert_eq!(asked("bytes=-30"), Ok(Some((0, 10))));
        assert_eq!(asked("bytes=9-99999999999999999999"), Ok(None));
        assert_eq!(asked("bytes=9-18446744073709551615"), Ok(Some((9, 10))));
        for unmeant in ["bytes=1-2,4-5", "lines=1-2", "bytes=", "bytes=4-2", "bytes=+1-2", "bytes=-"] {
            assert_eq!(asked(unmeant), Ok(None), "{unmeant}");
        }
        for beyond in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert_eq!(asked(beyond), Err(416), "{beyond}");
        }
    }
}
