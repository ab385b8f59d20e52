//! What the stories of the command line share: what a person saw without what differs from day to day, facts, small functions, another terminal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};
use tidegate::core::rollout::Rollout;
use tidegate::core::run::Run;
use tidegate::model::fact::{Entry, Fact, RolloutFact, RolloutOutcome, RunFact, Stream};
use tidegate::model::outcome::{Outcome, RunOutcome};
use tidegate::model::time::Timestamp;

use crate::packages::zip_of;
use crate::support::{Seen, World};

/// Long enough for any machine; what takes longer has stopped.
const PATIENCE: Duration = Duration::from_secs(120);

/// A function of one shell script that speaks the Runtime API through python3.
pub const FUNCTION: &str = include_str!("../../fixtures/functions/hello-python/bootstrap");

/// A pipeline file with the function `hello` and nothing else; stages that hold at once.
pub const BY_HAND: &str = r#"
name: by-hand
on: { manual: { params: { greeting: { type: string, default: python } } } }
functions:
  hello:
    runtime: provided.al2023
    timeout: 2s
    env: { GREETING: "${{ params.greeting }}" }
    rollout:
      strategy: canary
      stages: [10%, 50%]
      hold: 300ms
      prewarm: 1
      judge: { samples: 30 }
      probe: { path: /, rate: 300/s }
"#;

/// What differs from one run to the next, replaced by words.
pub fn redacted(world: &World, text: &str) -> String {
    static MORE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let all = [
            (r"\d{8}-\d{6}-[0-9a-f]{4}", "ID"),
            (r"(?m)^\d\d:\d\d:\d\d", "TIME"),
            (r"\b[0-9a-f]{40}\b", "COMMIT"),
            (r"\bcommit [0-9a-f]{8}\b", "commit COMMIT"),
            (r"\d+(\.\d+)? (ms|s|µs)\b", "DURATION"),
        ];
        all.into_iter().map(|(pattern, word)| (Regex::new(pattern).expect("a pattern"), word)).collect()
    });
    let root = world.path("").to_string_lossy().trim_end_matches('/').to_owned();
    MORE.iter().fold(text.replace(&root, "/a/persons"), |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned())
}

/// A command and all that it said, as in a terminal's window.
pub fn told(world: &World, arguments: &[&str]) -> String {
    let seen = world.tidegate(arguments);
    redacted(world, &format!("$ tidegate {}\n{}[exit {}]\n\n", arguments.join(" "), seen.all(), seen.code))
}

/// Without the line breaks that depend on how long numbers are.
pub fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub trait Tells {
    /// Says this sentence, wherever its lines were broken.
    fn tells(self, sentence: &str) -> Self;
}

impl Tells for Seen {
    #[track_caller]
    fn tells(self, sentence: &str) -> Self {
        assert!(flat(&self.all()).contains(sentence), "expected {sentence:?} in:\n{}", self.all());
        self
    }
}

/// Facts as `--json` prints them: every line is an entry, and each stream counts up from 1 without gaps.
pub fn entries(text: &str) -> Vec<Entry> {
    let entries: Vec<Entry> = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let mut last = std::collections::HashMap::<&Stream, u64>::new();
    for entry in &entries {
        let number = last.entry(&entry.stream).or_default();
        *number += 1;
        assert_eq!(entry.number, *number, "{entry:?}");
    }
    entries
}

pub fn run_facts(entries: &[Entry]) -> Vec<(Timestamp, RunFact)> {
    let facts = entries.iter().filter_map(|entry| if let Fact::Run(fact) = &entry.fact { Some((entry.at, fact.clone())) } else { None });
    facts.collect()
}

pub fn rollout_facts(entries: &[Entry]) -> Vec<(Timestamp, RolloutFact)> {
    let facts = entries.iter().filter_map(|entry| if let Fact::Rollout(fact) = &entry.fact { Some((entry.at, fact.clone())) } else { None });
    facts.collect()
}

/// How the run ended by its last fact; the machine agrees once it has replayed them.
pub fn run_outcome(entries: &[Entry]) -> RunOutcome {
    let facts = run_facts(entries);
    let replayed = Run::replay(&facts).expect("facts that fit");
    let Some((_, RunFact::Ended { outcome })) = facts.last() else { panic!("no end: {facts:?}") };
    assert_eq!(replayed.outcome(), Some(*outcome));
    *outcome
}

pub fn rollout_outcome(entries: &[Entry]) -> RolloutOutcome {
    let facts = rollout_facts(entries);
    let replayed = Rollout::replay(&facts).expect("facts that fit");
    replayed.outcome().unwrap_or_else(|| panic!("no end: {facts:?}")).clone()
}

/// How each step ended, in the order of their ends.
pub fn ends(entries: &[Entry]) -> Vec<(String, Outcome)> {
    let end = |(_, fact)| if let RunFact::NodeEnded { node, outcome } = fact { Some((node.as_str().to_owned(), outcome)) } else { None };
    run_facts(entries).into_iter().filter_map(end).collect()
}

/// A package of one `bootstrap`, beside the repository.
pub fn package(world: &World, name: &str, bootstrap: &[u8]) -> String {
    let folder = world.path(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let path: PathBuf = zip_of(&folder, &[("bootstrap", bootstrap, true)]).0;
    path.to_string_lossy().into_owned()
}

/// Nothing lives and nothing is mounted that this story has started.
#[track_caller]
pub fn nothing_left(world: &World) {
    assert_eq!((world.processes(), world.mounts()), (Vec::<String>::new(), Vec::<String>::new()));
}

/// A command in another terminal, read line by line.
pub struct Terminal {
    child: Child,
    out: BufReader<ChildStdout>,
    pub lines: String,
}

impl Terminal {
    pub fn start(world: &World, arguments: &[&str]) -> Self {
        let mut child = world.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, out, lines: String::new() }
    }

    /// Reads on until a line has this in it, and returns the line.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).expect("a line") > 0, "it ended without {text:?}:\n{}", self.lines);
            self.lines.push_str(&line);
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it lives");
    }

    /// Reads to the end; the exit code.
    pub fn end(&mut self) -> i32 {
        self.out.read_to_string(&mut self.lines).expect("the rest");
        self.child.wait().expect("its end").code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `tidegate serve`, and its gateway's address.
pub fn serve(world: &World) -> (Terminal, SocketAddr) {
    let mut terminal = Terminal::start(world, &["serve", "--listen", "127.0.0.1:0"]);
    let first = terminal.until("gateway: http://");
    terminal.until("Ctrl-C ends it.");
    let address = first.trim_start_matches("gateway: http://").parse().expect("an address");
    (terminal, address)
}

/// One request by hand; the whole answer.
pub fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the gateway");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Looks again and again until it is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
