//! A small GitHub that remembers: the parts of its API that Tidegate speaks to, over HTTP, with its rules and its moods.
//!
//! ```text
//! let github = Github::start();                     // its own thread; ends when dropped
//! github.repository("acme/shop");                   // what is not there is answered 404
//! … settings: github: { api: github.url, app: { id: github.app(), key: github.key_file() } } …   (or `token: github.token()`)
//! github.fail("POST", "/check-runs", 1, Fault::AfterDoing);
//! … do something …
//! assert_eq!(github.story(), ["POST /repos/acme/shop/check-runs 201", …]);
//! assert_eq!(github.checks("acme/shop")[0].conclusion.as_deref(), Some("success"));
//! ```
//! It accepts: JWTs of the App (signature and times checked), tokens that it has given out and that are neither revoked nor past their time, and one plain token.
//! Everything that was asked of it stands in `requests()`, in order. It does as GitHub where it matters: creating never asks whether there is one like it
//! already, annotations are added to those before, what is too long or too much is 422.

#![allow(dead_code, reason = "every test binary uses a part of it")]

#[path = "github/api.rs"]
mod api;
#[path = "github/http.rs"]
mod http;
#[path = "github/keys.rs"]
mod keys;
#[path = "github/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub use world::{Asked, Check, Comment, Deployment, Sarif, Status, World};

/// What goes wrong instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Only the answer: 500, 502, 503.
    Answer(u16),
    /// It is done, and the connection ends without an answer.
    AfterDoing,
    /// It is done, and no answer ever comes.
    Silence,
    /// It is not done, and the connection ends.
    Refused,
    /// It is done, after a while.
    Slow(Duration),
    /// It is done, but not before `heal`.
    Held,
    /// 403 with `Retry-After` in seconds, as GitHub's secondary limit.
    Secondary(u64),
    /// 429 with `Retry-After` in seconds.
    TooMany(u64),
    /// 403 with no requests left until so many seconds from now.
    Exhausted(u64),
    /// 401: the token is not good (any more).
    BadCredentials,
    /// An answer that is no JSON.
    Nonsense,
}

/// When something goes wrong, and how often.
#[derive(Debug, Clone)]
struct Trouble {
    method: String,
    path: String,
    left: usize,
    fault: Fault,
}

pub struct Github {
    /// What `github.api` of the settings says.
    pub url: String,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    world: Mutex<World>,
    troubles: Mutex<Vec<Trouble>>,
    held: Mutex<Held>,
}

/// Requests that are held: now, and the most that were at once.
#[derive(Debug, Default)]
struct Held {
    now: usize,
    most: usize,
}

impl Github {
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared { world: Mutex::new(World::default()), troubles: Mutex::default(), held: Mutex::default() });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || http::serve(listener, &served, stopped));
        Self { url, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// The App's number.
    pub fn app(&self) -> u64 {
        keys::APP
    }
    /// The App's private key; the public one is what JWTs are checked with.
    pub fn key_file(&self) -> PathBuf {
        keys::private_key().to_owned()
    }
    /// A plain token that may everything.
    pub fn token(&self) -> &'static str {
        keys::PLAIN
    }

    /// A token of the installation 1, as the App gets them.
    pub fn session(&self) -> String {
        let token = format!("ghs_{:036}", self.world().next());
        self.world().tokens.insert(token.clone(), (1, world::now() + 3600));
        token
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().expect("no test has panicked in it")
    }
    pub fn repository(&self, name: &str) {
        self.world().repositories.insert(name.to_owned());
    }
    /// The next `times` requests whose method is this (empty: any) and whose path holds this go wrong so.
    pub fn fail(&self, method: &str, path: &str, times: usize, fault: Fault) {
        let trouble = Trouble { method: method.to_owned(), path: path.to_owned(), left: times, fault };
        self.shared.troubles.lock().expect("its list").push(trouble);
    }
    /// No trouble any more.
    pub fn heal(&self) {
        self.shared.troubles.lock().expect("its list").clear();
    }

    /// Requests that are held, and the most that ever were at once.
    pub fn held(&self) -> (usize, usize) {
        let held = self.shared.held.lock().expect("two numbers");
        (held.now, held.most)
    }

    /// From here on the most is counted anew.
    pub fn count_held_anew(&self) {
        let mut held = self.shared.held.lock().expect("two numbers");
        held.most = held.now;
    }

    pub fn requests(&self) -> Vec<Asked> {
        self.world().asked.clone()
    }
    /// A line a request: method, path with query, answer (`-`: none).
    pub fn story(&self) -> Vec<String> {
        self.world().asked.iter().map(Asked::line).collect()
    }
    /// Of one kind, as `story` says them.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.world().asked.iter().filter(|asked| asked.method == method && asked.path.contains(path)).count()
    }
    pub fn checks(&self, repository: &str) -> Vec<Check> {
        self.world().checks.iter().filter(|check| check.repository == repository).cloned().collect()
    }
    /// The only one of that name.
    #[track_caller]
    pub fn check(&self, repository: &str, name: &str) -> Check {
        let found: Vec<Check> = self.checks(repository).into_iter().filter(|check| check.name == name).collect();
        assert_eq!(found.len(), 1, "checks called {name}: {found:#?}");
        found.into_iter().next().expect("one")
    }
    pub fn comments(&self, repository: &str, issue: u64) -> Vec<Comment> {
        self.world().comments.iter().filter(|comment| comment.repository == repository && comment.issue == issue).cloned().collect()
    }
    pub fn deployments(&self, repository: &str) -> Vec<Deployment> {
        self.world().deployments.iter().filter(|deployment| deployment.repository == repository).cloned().collect()
    }
    pub fn statuses(&self, repository: &str) -> Vec<Status> {
        self.world().statuses.iter().filter(|status| status.repository == repository).cloned().collect()
    }
    pub fn sarifs(&self, repository: &str) -> Vec<Sarif> {
        self.world().sarifs.iter().filter(|sarif| sarif.repository == repository).cloned().collect()
    }
}

impl Drop for Github {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn trouble(&self, method: &str, path: &str) -> Option<Fault> {
        let mut troubles = self.troubles.lock().expect("its list");
        let at = troubles.iter().position(|t| t.left > 0 && (t.method.is_empty() || t.method == method) && path.contains(&t.path))?;
        troubles[at].left -= 1;
        Some(troubles[at].fault)
    }

    /// Until nothing goes wrong any more, or whoever asked has gone away.
    async fn hold(&self) {
        struct Holding<'a>(&'a Shared);
        impl Drop for Holding<'_> {
            fn drop(&mut self) {
                self.0.held.lock().expect("two numbers").now -= 1;
            }
        }
        {
            let mut held = self.held.lock().expect("two numbers");
            held.now += 1;
            held.most = held.most.max(held.now);
        }
        let _holding = Holding(self);
        while !self.troubles.lock().expect("its list").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The settings file of a Tidegate that speaks to it as its App.
pub fn settings(github: &Github) -> String {
    let key: &Path = &github.key_file();
    format!("github:\n  api: {}\n  app: {{ id: {}, key: {{ file: {} }} }}\n", github.url, github.app(), key.display())
}
