//! Git's smart protocol over HTTP(S), for libgit2: with the process's one HTTP and TLS stack instead of a second one of libgit2's own.
//!
//! Two requests make a fetch: `GET …/info/refs?service=git-upload-pack`, then `POST …/git-upload-pack` as often as the two sides negotiate (`rounds`). Only fetching is
//! there. Source: gitprotocol-http(5).

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use git2::transport::{Service, SmartSubtransport, Transport};
use tokio::runtime::Handle;

use super::rounds::{self, Known};
use crate::model::secret::Secret;

/// Bytes that one fetch may bring.
const MAX_BYTES: u64 = 8 << 30;
/// Of what is asked: names of commits that both have.
const MAX_ASKED: usize = 64 << 20;
const CONNECT: Duration = Duration::from_secs(10);
/// Without a byte from the other side.
const SILENCE: Duration = Duration::from_secs(60);
/// In all.
const WHOLE: Duration = Duration::from_secs(1_800);
const REDIRECTS: usize = 3;

thread_local! {
    /// What the fetch of this thread logs in with: libgit2 asks for a transport by the URL only.
    static ACCESS: RefCell<Option<Secret>> = const { RefCell::new(None) };
}

/// Fetches with these credentials, on this thread. Needs a tokio runtime around it, and may block.
pub(super) fn with_access<T>(token: Option<&Secret>, fetch: impl FnOnce() -> Result<T, git2::Error>) -> Result<T, git2::Error> {
    register()?;
    ACCESS.set(token.cloned());
    let done = fetch();
    ACCESS.set(None);
    done
}

/// Once in the life of the process.
#[expect(unsafe_code, reason = "libgit2's list of transports has no lock of its own: this one is around every change to it")]
fn register() -> Result<(), git2::Error> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        let make = |remote: &git2::Remote<'_>| Transport::smart(remote, true, Http::new());
        // SAFETY: nobody else registers transports, and `get_or_init` lets one thread in here.
        unsafe { git2::transport::register("http", make).and_then(|()| git2::transport::register("https", make)) }
            .map_err(|error| error.message().to_owned())
    });
    done.clone().map_err(|why| failed(&why))
}

fn failed(why: &str) -> git2::Error {
    git2::Error::new(git2::ErrorCode::GenericError, git2::ErrorClass::Http, why)
}

/// One per process: it keeps connections.
fn client() -> Result<&'static reqwest::Client, git2::Error> {
    static CLIENT: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        // Fails if somebody has chosen one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let same_host = reqwest::redirect::Policy::custom(|attempt| match attempt.previous().first() {
            Some(first)
                if first.host() == attempt.url().host() && first.scheme() == attempt.url().scheme() && attempt.previous().len() <= REDIRECTS =>
            {
                attempt.follow()
            }
            _ => attempt.error("it leads to another host"),
        });
        let agent = concat!("git/2 (tidegate ", env!("CARGO_PKG_VERSION"), ")");
        let builder = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).redirect(same_host).user_agent(agent);
        builder.build().map_err(|error| error.to_string())
    });
    made.as_ref().map_err(|why| failed(why))
}

#[derive(Clone)]
struct Http {
    runtime: Option<Handle>,
    token: Option<Secret>,
    /// Where the repository was found to be, after redirections.
    base: Arc<Mutex<Option<String>>>,
    brought: Arc<Mutex<u64>>,
    first: Arc<Mutex<First>>,
    begun: Instant,
}

/// The first round of a fetch.
#[derive(Default)]
enum First {
    #[default]
    Comes,
    /// What libgit2 has not asked for yet.
    Answered(Answer),
    Over,
}

impl Http {
    fn new() -> Self {
        let token = ACCESS.with_borrow(Clone::clone);
        Self {
            runtime: Handle::try_current().ok(),
            token,
            base: Arc::default(),
            brought: Arc::default(),
            first: Arc::default(),
            begun: Instant::now(),
        }
    }

    fn ask(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, git2::Error> {
        let runtime = self.runtime.as_ref().ok_or_else(|| failed("there is no runtime around the fetch"))?;
        let request = match &self.token {
            Some(token) => request.basic_auth("x-access-token", Some(String::from_utf8_lossy(token.reveal()))),
            None => request,
        };
        let response = runtime.block_on(request.send()).map_err(|error| failed(&said(&error)))?;
        match response.status().as_u16() {
            200 => Ok(response),
            401 | 403 | 404 => {
                Err(failed(&format!("it answered {}: there is no such repository, or it may not be read with these credentials", response.status())))
            }
            _ => Err(failed(&format!("it answered {}", response.status()))),
        }
    }
}

/// Without the URL, which could hold something.
fn said(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "it does not answer in time".to_owned() } else { "it can not be reached".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

impl SmartSubtransport for Http {
    fn action(&self, url: &str, service: Service) -> Result<Box<dyn git2::transport::SmartSubtransportStream>, git2::Error> {
        let lock = |base: &Arc<Mutex<Option<String>>>| base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let base = lock(&self.base).unwrap_or_else(|| url.trim_end_matches('/').to_owned());
        let state = match service {
            Service::UploadPackLs => {
                let response = self.ask(client()?.get(format!("{base}/info/refs?service=git-upload-pack")))?;
                let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
                if kind != "application/x-git-upload-pack-advertisement" {
                    return Err(failed("what answers is no git repository"));
                }
                let mut found = response.url().clone();
                found.set_query(None);
                if let Some(found) = found.as_str().strip_suffix("/info/refs") {
                    *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.to_owned());
                }
                State::Answered(Answer { response, left: Vec::new() })
            }
            Service::UploadPack => State::Asking(base, Vec::new()),
            Service::ReceivePackLs | Service::ReceivePack => return Err(failed("nothing is ever pushed")),
        };
        Ok(Box::new(Stream { http: self.clone(), state }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// What is written is the request; the first read sends it.
enum State {
    Asking(String, Vec<u8>),
    /// The end of the first round, which was not sent as such.
    Known(io::Cursor<Vec<u8>>),
    Answered(Answer),
}

struct Answer {
    response: reqwest::Response,
    /// What has come and was not read yet, the next byte last.
    left: Vec<u8>,
}

struct Stream {
    http: Http,
    state: State,
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Asking(_, asked) if asked.len() + bytes.len() <= MAX_ASKED => {
                asked.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            State::Asking(..) => Err(io::Error::other(format!("more than {MAX_ASKED} bytes are asked"))),
            State::Known(_) | State::Answered(_) => Err(io::Error::other("it has been answered already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Http {
    fn post(&self, base: &str, asked: Vec<u8>) -> io::Result<Answer> {
        let request = client()
            .map_err(io::Error::other)?
            .post(format!("{base}/git-upload-pack"))
            .header("content-type", "application/x-git-upload-pack-request")
            .header("accept", "application/x-git-upload-pack-result")
            .body(asked);
        Ok(Answer { response: self.ask(request).map_err(io::Error::other)?, left: Vec::new() })
    }

    fn round(&self, base: &str, asked: Vec<u8>) -> io::Result<State> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *first, First::Over) {
            First::Answered(answer) if rounds::is_last(&asked) => return Ok(State::Answered(answer)),
            First::Comes => {
                if let Some(last) = rounds::as_last(&asked)
                    && let Some((known, rest)) = self.known(self.post(base, last)?)?
                {
                    *first = First::Answered(rest);
                    return Ok(State::Known(io::Cursor::new(known)));
                }
            }
            First::Answered(_) | First::Over => {}
        }
        self.post(base, asked).map(State::Answered)
    }

    /// What the other side knows, and what it says then.
    fn known(&self, mut answer: Answer) -> io::Result<Option<(Vec<u8>, Answer)>> {
        let mut head = Vec::new();
        loop {
            match rounds::known(&head) {
                Known::Nothing => return Ok(None),
                Known::Some(end) => {
                    answer.left.extend(head.drain(end..).rev());
                    head.extend_from_slice(rounds::NAK);
                    return Ok(Some((head, answer)));
                }
                Known::NotYet if answer.more(self)? => head.extend(answer.left.drain(..).rev()),
                Known::NotYet => return Ok(None),
            }
        }
    }
}

impl Answer {
    /// Whether there was any.
    fn more(&mut self, http: &Http) -> io::Result<bool> {
        if http.begun.elapsed() > WHOLE {
            return Err(io::Error::other(format!("it takes longer than {} s", WHOLE.as_secs())));
        }
        let runtime = http.runtime.as_ref().ok_or_else(|| io::Error::other("there is no runtime around the fetch"))?;
        let Some(chunk) = runtime.block_on(self.response.chunk()).map_err(|error| io::Error::other(said(&error)))? else { return Ok(false) };
        let mut brought = http.brought.lock().unwrap_or_else(PoisonError::into_inner);
        *brought += chunk.len() as u64;
        if *brought > MAX_BYTES {
            return Err(io::Error::other(format!("it is more than {MAX_BYTES} bytes")));
        }
        self.left.extend(chunk.iter().rev());
        Ok(true)
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let State::Asking(base, asked) = &mut self.state {
            self.state = self.http.round(base, std::mem::take(asked))?;
        }
        let answer = match &mut self.state {
            State::Asking(..) => return Ok(0),
            State::Known(known) => return known.read(into),
            State::Answered(answer) => answer,
        };
        if answer.left.is_empty() && !answer.more(&self.http)? {
            return Ok(0);
        }
        let mut read = 0;
        while let (Some(place), Some(byte)) = (into.get_mut(read), answer.left.pop()) {
            *place = byte;
            read += 1;
        }
        Ok(read)
    }
}
