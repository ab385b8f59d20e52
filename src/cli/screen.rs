//! Shows facts as they come: a live picture on a terminal, lines in a pipe, JSON for programs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use tokio::sync::oneshot;

use super::args::Global;
use super::terminal;
use crate::model::fact::{Entry, Fact, Stream};
use crate::model::id::{NodeId, RolloutId};
use crate::report::run::plain::Plain;
use crate::report::run::text::{clean, clock as time_of_day, fit};
use crate::report::run::{live, look};
use crate::report::{rollout, run};
use crate::runtime::clock;
use crate::runtime::observer::{Observer, Shown};

/// How often a live picture moves although nothing has happened (elapsed times).
const FRAME: Duration = Duration::from_millis(120);
/// A line of a step's output that goes on without an end is shown in pieces of this many bytes.
const LONGEST_LINE: usize = 64 << 10;

enum Mode {
    Live { drawn: usize },
    Lines,
    Json,
}

pub struct Screen {
    mode: Mode,
    look: look::Look,
    rollout_look: rollout::Look,
    plain: Plain,
    view: run::view::View,
    pictures: BTreeMap<RolloutId, rollout::Picture>,
    unfinished: BTreeMap<NodeId, Vec<u8>>,
}

impl Screen {
    pub fn new(global: &Global) -> Self {
        let look = terminal::run_look(global);
        let mode = match (global.json, terminal::is_live(global)) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Live { drawn: 0 },
            (false, false) => Mode::Lines,
        };
        Self {
            mode,
            look,
            rollout_look: terminal::rollout_look(global),
            plain: Plain::new(look),
            view: run::view::View::default(),
            pictures: BTreeMap::new(),
            unfinished: BTreeMap::new(),
        }
    }

    /// Shows what comes until `done` resolves, then what is left.
    pub async fn follow(mut self, observer: Observer, mut done: oneshot::Receiver<()>) -> Self {
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let last = tokio::select! {
                _ = &mut done => true,
                () = observer.changed(), if !matches!(self.mode, Mode::Live { .. }) => false,
                _ = frames.tick(), if matches!(self.mode, Mode::Live { .. }) => false,
            };
            for shown in observer.drain() {
                self.take(shown);
            }
            if last {
                self.erase();
                self.flush_logs();
                return self;
            }
            self.draw();
        }
    }

    fn take(&mut self, shown: Shown) {
        match shown {
            Shown::Fact(entry) => self.take_fact(&entry),
            Shown::Log { node, bytes } => self.take_log(&node, &bytes),
            Shown::Note(text) => match self.mode {
                Mode::Json => anstream::eprintln!("note: {}", clean(&text)),
                _ => self.print(&format!("note: {}", clean(&text))),
            },
        }
    }

    fn take_fact(&mut self, entry: &Entry) {
        match (&entry.stream, &entry.fact) {
            (_, Fact::Run(fact)) => {
                self.view.apply(entry.at, fact);
                let line = self.plain.line(entry.at, fact);
                if let (Mode::Lines, Some(line)) = (&self.mode, line) {
                    self.print(&line);
                }
            }
            (Stream::Rollout(id), Fact::Rollout(fact)) => {
                let picture = self.pictures.entry(id.clone()).or_default();
                picture.take(entry.at, fact);
                if let (Mode::Lines, Some(line)) = (&self.mode, rollout::line(picture, entry.at, fact)) {
                    let time = time_of_day(entry.at, self.look.utc_offset);
                    self.print(&format!("{time} {line}"));
                }
            }
            (Stream::Run(_), Fact::Rollout(_)) => {}
        }
        if let Mode::Json = self.mode
            && let Ok(line) = serde_json::to_string(entry)
        {
            self.print(&line);
        }
    }

    fn take_log(&mut self, node: &NodeId, bytes: &[u8]) {
        let mut text = self.unfinished.remove(node).unwrap_or_default();
        text.extend_from_slice(bytes);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n').or_else(|| (text.len() > LONGEST_LINE).then_some(LONGEST_LINE)) {
            let rest = text.split_off(end + 1);
            self.log_line(node, &text);
            text = rest;
        }
        if !text.is_empty() {
            self.unfinished.insert(node.clone(), text);
        }
    }

    fn log_line(&mut self, node: &NodeId, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\n', '\r']);
        self.view.said(node, line);
        if let Mode::Lines = self.mode {
            self.print(&format!("         {} │ {}", clean(node.as_str()), clean(line)));
        }
    }

    fn flush_logs(&mut self) {
        for (node, rest) in std::mem::take(&mut self.unfinished) {
            self.log_line(&node, &rest);
        }
    }

    /// A line that stays. On a live screen it goes above the picture.
    fn print(&mut self, line: &str) {
        self.erase();
        // A closed pipe is no reason to stop a run: the journal has all of it.
        let _ = writeln!(anstream::stdout(), "{line}");
    }

    fn draw(&mut self) {
        let now = clock::now();
        let mut lines = live::live(&self.view, now, self.look);
        for picture in self.pictures.values().filter(|picture| picture.outcome().is_none()) {
            lines.push(String::new());
            lines.extend(rollout::live(picture, now, self.rollout_look).lines().map(str::to_owned));
        }
        // What does not fit would scroll away and could not be erased.
        lines.truncate(self.look.height.saturating_sub(1));
        self.erase();
        if let Mode::Live { drawn } = &mut self.mode {
            *drawn = lines.len();
            let _ = writeln!(anstream::stdout(), "{}", lines.join("\n"));
        }
    }

    fn erase(&mut self) {
        if let Mode::Live { drawn } = &mut self.mode
            && *drawn > 0
        {
            // Up to the first line of the picture, and everything below it away.
            let _ = write!(anstream::stdout(), "\x1b[{drawn}A\x1b[J");
            *drawn = 0;
        }
    }

    pub fn view(&self) -> &run::view::View {
        &self.view
    }

    pub fn pictures(&self) -> impl Iterator<Item = &rollout::Picture> {
        self.pictures.values()
    }

    pub fn is_json(&self) -> bool {
        matches!(self.mode, Mode::Json)
    }

    /// The end of the story: the run (if there was one), then each rollout.
    pub fn summary(&self, tails: &[run::summary::LogTail]) -> String {
        let mut text = String::new();
        if self.view.took(clock::now()) > Duration::ZERO && !self.view.subject().is_empty() {
            text.push_str(&run::summary::summary(&self.view, tails, clock::now(), self.look));
        }
        for picture in self.pictures.values() {
            text.push('\n');
            text.push_str(&rollout::summary(picture, self.rollout_look));
        }
        text
    }

    pub fn fit(&self, line: &str) -> String {
        fit(line, self.look.width)
    }
}
