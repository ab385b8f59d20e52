//! A server with all that is around it: a repository behind real git, GitHub, and somebody who sends deliveries.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use serde_json::Value;
use tidegate::adapters::deliveries::{Deliveries, Filter, Keep, Known, Page, State};
use tidegate::adapters::journal::{self, AnyJournal, Journal as _};
use tidegate::adapters::state::{Owner, StateFolder};
use tidegate::model::fact::{Entry, Fact, RunFact, Stream};
use tidegate::model::id::RunId;
use tidegate::model::outcome::RunOutcome;
use tidegate::model::request::RequestFact;
use tidegate::model::time::Timestamp;

use crate::client::{Answer, Post, SECRET};
use crate::git_http::GitHttp;
use crate::github::{Check, Github};
use crate::process::Serve;
use crate::support::World;

pub const SHOP: &str = "acme/shop";
pub const FORK: &str = "eve/shop";
/// Long enough for any machine; what takes longer has stopped.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Town {
    pub world: World,
    pub github: Github,
    pub server: SocketAddr,
    serve: Option<Serve>,
    git: GitHttp,
    reader: Reader,
    runtime: tokio::runtime::Runtime,
}

/// Whoever reads the journal and the deliveries beside the server, as `tidegate runs` and `tidegate deliveries` do.
struct Reader {
    journal: AnyJournal,
    deliveries: Deliveries,
    _owner: Owner,
}

impl Town {
    /// With one commit of these files, which GitHub has as well; the server runs.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let mut town = Self::quiet(files);
        town.start();
        town
    }

    /// Nothing runs yet.
    pub fn quiet(files: &[(&str, &str)]) -> Self {
        let world = World::with(files);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let bare = world.path("served/acme/shop.git");
        std::fs::create_dir_all(&bare).expect("a folder");
        world.git(&["init", "--quiet", "--bare", "--initial-branch=main", bare.to_str().expect("UTF-8")]);
        world.git(&["remote", "add", "origin", bare.to_str().expect("UTF-8")]);
        world.git(&["push", "--quiet", "origin", "main"]);
        let git = runtime.block_on(GitHttp::serve(&world.path("served")));
        let github = Github::start();
        github.repository(SHOP);
        for (login, role) in [("ada", "write"), ("bob", "read")] {
            github.world().role(SHOP, login, role);
        }
        // A port that is free now; nobody else asks for its number in between.
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        std::fs::write(world.path("secret"), SECRET).expect("written");
        let settings = format!(
            "server: {{ listen: \"{server}\" }}\n{}  webhook_secrets: [{{ file: {} }}]\n",
            crate::github::settings(&github),
            world.path("secret").display()
        );
        std::fs::write(world.path("settings.yaml"), settings).expect("written");
        let state = StateFolder::open(world.state()).expect("a state folder");
        let owner = state.claim().expect("an owner");
        let journal = journal::open(&state.journal(), owner.id()).expect("a journal");
        let deliveries = Deliveries::open(state.root(), Keep::default()).expect("a store");
        Self { world, github, server, serve: None, git, reader: Reader { journal, deliveries, _owner: owner }, runtime }
    }

    /// The command of a server here; what it says to people goes into a file.
    pub fn command(&self) -> Command {
        let settings = self.world.path("settings.yaml");
        let mut command = self.world.command(&["serve", "--listen", "127.0.0.1:0", "--config", settings.to_str().expect("UTF-8")]);
        let log = std::fs::File::options().create(true).append(true).open(self.world.path("serve.log")).expect("a file");
        command.stderr(Stdio::from(log));
        command
    }

    pub fn start(&mut self) {
        self.serve = Some(Serve::start(self.command()));
    }

    /// Ends it and starts another.
    pub fn restart(&mut self, signal: Signal) {
        self.stop(signal);
        self.start();
    }

    pub fn stop(&mut self, signal: Signal) {
        self.serve.take().expect("a server").end(signal);
    }

    /// The next server takes over from this one, which answers its exit code.
    pub fn hand_over(&mut self) -> Option<i32> {
        let before = self.serve.take().expect("a server");
        self.start();
        before.wait()
    }

    pub fn url(&self) -> String {
        self.git.url(SHOP)
    }

    /// A commit on what is checked out, at GitHub as this reference.
    pub fn push(&self, path: &str, text: &str, reference: &str) -> String {
        self.world.write(path, text);
        let commit = self.world.commit("Sell doors");
        self.world.git(&["push", "--quiet", "--force", "origin", &format!("HEAD:{reference}")]);
        commit
    }

    /// GitHub has it no more.
    pub fn delete(&self, reference: &str) {
        self.world.git(&["push", "--quiet", "origin", &format!(":{reference}")]);
    }

    pub fn send(&self, id: &str, event: &str, body: &Value) -> Answer {
        Post::new(id, event, body.to_string()).send(self.server)
    }

    /// Sent, answered, and handled: what `deliveries show` says of it.
    #[track_caller]
    pub fn deliver(&self, id: &str, event: &str, body: &Value) -> Value {
        let answer = self.send(id, event, body);
        assert_eq!(answer.status, 202, "{answer:?}");
        self.handled(id)
    }

    #[track_caller]
    pub fn handled(&self, id: &str) -> Value {
        self.until(&format!("the handling of {id}"), || {
            let found = self.runtime.block_on(self.reader.deliveries.find(id)).expect("the store");
            found.iter().any(|known| known.id.as_str() == id && known.state != State::Waiting).then_some(())
        });
        let shown = self.world.tidegate(&["deliveries", "show", id, "--json"]).expect(0).out;
        serde_json::from_str(&shown).expect("JSON")
    }

    /// All that were ever taken, newest first.
    pub fn deliveries(&self, filter: Filter) -> Vec<Known> {
        let page = Page { before: None, limit: 100_000 };
        self.runtime.block_on(self.reader.deliveries.list(filter, page)).expect("the store")
    }

    #[track_caller]
    pub fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = found() {
                return found;
            }
            self.unless_it_stands(what, begun);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Until nothing is left, however long that takes: as long as it becomes less.
    #[track_caller]
    pub fn until_none_is_left(&self, what: &str, mut left: impl FnMut() -> usize) {
        let (mut since, mut least) = (Instant::now(), usize::MAX);
        loop {
            let now = left();
            if now == 0 {
                return;
            }
            if now < least {
                (since, least) = (Instant::now(), now);
            }
            self.unless_it_stands(what, since);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    #[track_caller]
    fn unless_it_stands(&self, what: &str, since: Instant) {
        if since.elapsed() > PATIENCE {
            let log = self.server_log();
            let seen = self.world.tidegate(&["runs", "ls"]).all();
            panic!("{what} never came\n{seen}\n{}\n--- the server said ---\n{log}", self.world.tidegate(&["deliveries", "ls"]).all());
        }
    }

    /// What servers have said here to people.
    pub fn server_log(&self) -> String {
        std::fs::read_to_string(self.world.path("serve.log")).unwrap_or_default()
    }

    /// Of the server.
    pub fn pid(&self) -> i32 {
        self.serve.as_ref().expect("a server").id()
    }

    /// Where its functions are.
    pub fn gateway(&self) -> SocketAddr {
        let lines = &self.serve.as_ref().expect("a server").lines;
        let address = lines.iter().find_map(|line| line.strip_prefix("gateway: http://")).expect("a gateway");
        address.parse().expect("an address")
    }

    /// All that a stream says happened so much earlier: as if the clock had gone on while no server ran.
    pub fn was_long_ago(&self, stream: &Stream, ago: Duration) {
        let (kind, id) = match stream {
            Stream::Run(id) => ("run", id.as_str()),
            Stream::Rollout(id) => ("rollout", id.as_str()),
            Stream::Request(id) => ("request", id.as_str()),
        };
        let journal = rusqlite::Connection::open(self.world.state().join("journal.db")).expect("the journal");
        let ago = i64::try_from(ago.as_micros()).expect("a time");
        let changed = journal.execute("UPDATE facts SET at = at - ?3 WHERE kind = ?1 AND stream = ?2", (kind, id, ago)).expect("changed");
        assert!(changed > 0, "{stream:?} is not there");
    }

    /// Requests that a server finds when it starts.
    pub fn write_requests(&self, requests: Vec<RequestFact>) {
        let now = || Timestamp::from_micros(u64::try_from(SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_micros()).expect("a time"));
        let journal = &self.reader.journal;
        self.runtime.block_on(async {
            let mut writes = tokio::task::JoinSet::new();
            for fact in requests {
                let RequestFact::Asked { run, .. } = &fact else { panic!("it asks for nothing: {fact:?}") };
                let (journal, stream) = (journal.clone(), Stream::Request(run.clone()));
                writes.spawn(async move { journal.append(&stream, 1, now(), vec![Fact::Request(fact)]).await });
            }
            while let Some(written) = writes.join_next().await {
                written.expect("no panic").expect("written");
            }
        });
    }

    /// The whole journal, in the order in which it was written.
    pub fn journal(&self) -> Vec<Entry> {
        let (mut mark, mut all) = (0, Vec::new());
        loop {
            let (next, entries) = self.runtime.block_on(self.reader.journal.tail(Some(mark), 10_000)).expect("the journal");
            if entries.is_empty() {
                return all;
            }
            mark = next;
            all.extend(entries);
        }
    }

    /// Newest first.
    pub fn requests(&self) -> Vec<RunId> {
        let all = self.runtime.block_on(self.reader.journal.requests(100_000)).expect("requests");
        let run = |fact: Fact| if let Fact::Request(RequestFact::Asked { run, .. }) = fact { Some(run) } else { None };
        all.into_iter().filter_map(|(first, _)| run(first.fact)).collect()
    }

    pub fn entries(&self, stream: &Stream) -> Vec<Entry> {
        self.runtime.block_on(self.reader.journal.read(stream)).expect("a stream")
    }

    pub fn request(&self, run: &RunId) -> Vec<RequestFact> {
        let entries = self.runtime.block_on(self.reader.journal.read(&Stream::Request(run.clone()))).expect("a request");
        entries.into_iter().filter_map(|entry| if let Fact::Request(fact) = entry.fact { Some(fact) } else { None }).collect()
    }

    pub fn facts(&self, run: &RunId) -> Vec<RunFact> {
        let entries = self.runtime.block_on(self.reader.journal.read(&Stream::Run(run.clone()))).expect("a run");
        entries.into_iter().filter_map(|entry| if let Fact::Run(fact) = entry.fact { Some(fact) } else { None }).collect()
    }

    /// When a run began and ended.
    pub fn span(&self, run: &RunId) -> (Timestamp, Timestamp) {
        let entries = self.runtime.block_on(self.reader.journal.read(&Stream::Run(run.clone()))).expect("a run");
        (entries.first().expect("it began").at, entries.last().expect("it ended").at)
    }

    pub fn unfinished(&self) -> usize {
        self.runtime.block_on(self.reader.journal.unfinished()).expect("the journal").len()
    }

    /// Runs that have ended.
    pub fn ended(&self) -> usize {
        let all = self.runtime.block_on(self.reader.journal.runs(100_000)).expect("the journal");
        all.iter().filter(|(_, last)| matches!(last.fact, Fact::Run(RunFact::Ended { .. }))).count()
    }

    #[track_caller]
    pub fn end_of(&self, run: &RunId) -> RunOutcome {
        self.until(&format!("the end of {run}"), || {
            self.facts(run).iter().find_map(|fact| if let RunFact::Ended { outcome } = fact { Some(*outcome) } else { None })
        })
    }

    #[track_caller]
    pub fn dropped(&self, run: &RunId) -> RequestFact {
        self.until(&format!("the end of the request {run}"), || {
            self.request(run).into_iter().find(|fact| matches!(fact, RequestFact::Dropped { .. }))
        })
    }

    #[track_caller]
    pub fn invoked(&self, run: &RunId) {
        self.until(&format!("the first step of {run}"), || {
            self.facts(run).iter().any(|fact| matches!(fact, RunFact::InvocationStarted { .. })).then_some(())
        });
    }

    /// The check of this run or step, once it has come to this end.
    #[track_caller]
    pub fn check(&self, external: &str, conclusion: &str) -> Check {
        let of = || self.github.checks(SHOP).into_iter().filter(|check| check.external == external).collect::<Vec<_>>();
        let found =
            self.until(&format!("{conclusion} of {external}"), || of().into_iter().find(|check| check.conclusion.as_deref() == Some(conclusion)));
        assert_eq!(of().len(), 1, "{:#?}", of());
        found
    }

    /// The runs that a delivery asked for.
    #[track_caller]
    pub fn asked(&self, handled: &Value) -> Vec<RunId> {
        let runs = handled["handled"]["runs"].as_array().unwrap_or_else(|| panic!("it asked for nothing: {handled:#}"));
        runs.iter().map(|run| RunId::new(run.as_str().expect("an id"))).collect()
    }

    #[track_caller]
    pub fn asked_one(&self, handled: &Value) -> RunId {
        let runs = self.asked(handled);
        assert_eq!(runs.len(), 1, "{handled:#}");
        runs[0].clone()
    }
}

pub fn begun(facts: &[RunFact], step: &str) -> usize {
    facts.iter().filter(|fact| matches!(fact, RunFact::InvocationStarted { node, .. } if node.as_str() == step)).count()
}

impl Drop for Town {
    fn drop(&mut self) {
        // Politely, so that it ends what it has started.
        if let Some(serve) = self.serve.take() {
            serve.end(Signal::TERM);
        }
    }
}
