//! Shows facts as they come: a live picture on a terminal, lines in a pipe, JSON for programs.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::time::Duration;

use tokio::sync::oneshot;

use super::args::Global;
use super::canvas::Canvas;
use super::print::eprintln;
use super::terminal;
use crate::model::fact::{Entry, Fact, RolloutFact, RunFact, Stream};
use crate::model::id::{NodeId, RolloutId};
use crate::model::time::Timestamp;
use crate::report::run::plain::Plain;
use crate::report::run::text::clean;
use crate::report::run::{live, look};
use crate::report::{rollout, run};
use crate::runtime::clock;
use crate::runtime::observer::{Observer, Shown};

/// How often a live picture moves although nothing has happened (elapsed times).
const FRAME: Duration = Duration::from_millis(120);
/// A line of a step's output that goes on without an end is shown in pieces of this many bytes.
const LONGEST_LINE: usize = 64 << 10;

enum Mode {
    Live(Canvas),
    Lines,
    Json,
}

pub struct Screen {
    mode: Mode,
    look: look::Look,
    plain: Plain,
    view: run::view::View,
    pictures: BTreeMap<RolloutId, rollout::Picture>,
    unfinished: BTreeMap<NodeId, Vec<u8>>,
    /// For who wants to tell of them afterwards.
    facts: Vec<(Timestamp, RunFact)>,
    rollout_facts: HashMap<RolloutId, Vec<(Timestamp, RolloutFact)>>,
}

impl Screen {
    /// `lines`: also on a terminal; the runners of workflows have one that nobody looks at.
    pub fn new(global: &Global, lines: bool) -> Self {
        let look = terminal::run_look();
        let mode = match (global.json, !lines && terminal::is_live(global)) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Live(Canvas::default()),
            (false, false) => Mode::Lines,
        };
        Self {
            mode,
            look,
            plain: Plain::new(look),
            view: run::view::View::default(),
            pictures: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            facts: Vec::new(),
            rollout_facts: HashMap::new(),
        }
    }

    /// Shows what comes until `done` resolves, then what is left.
    pub async fn follow(mut self, observer: Observer, mut done: oneshot::Receiver<()>) -> Self {
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let last = tokio::select! {
                _ = &mut done => true,
                () = observer.changed(), if !matches!(self.mode, Mode::Live(_)) => false,
                _ = frames.tick(), if matches!(self.mode, Mode::Live(_)) => false,
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
                Mode::Json => eprintln!("note: {}", clean(&text)),
                _ => self.print(&format!("note: {}", clean(&text))),
            },
        }
    }

    fn take_fact(&mut self, entry: &Entry) {
        match (&entry.stream, &entry.fact) {
            (_, Fact::Run(fact)) => {
                self.view.apply(entry.at, fact);
                self.facts.push((entry.at, fact.clone()));
                let line = self.plain.line(entry.at, fact);
                if let (Mode::Lines, Some(line)) = (&self.mode, line) {
                    self.print(&line);
                }
            }
            (Stream::Rollout(id), Fact::Rollout(fact)) => {
                let picture = self.pictures.entry(id.clone()).or_default();
                picture.take(entry.at, fact);
                self.rollout_facts.entry(id.clone()).or_default().push((entry.at, fact.clone()));
                if let (Mode::Lines, Some(line)) = (&self.mode, rollout::line(picture, entry.at, fact)) {
                    let line = self.plain.told(entry.at, picture.function(), &format!("  {line}"));
                    self.print(&line);
                }
            }
            (_, Fact::Rollout(_) | Fact::Request(_)) => {}
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
            self.print(&self.plain.said(node, line));
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
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    fn draw(&mut self) {
        let now = clock::now();
        let Mode::Live(canvas) = &mut self.mode else { return };
        self.look = terminal::run_look();
        let mut rollouts = Vec::new();
        for picture in self.pictures.values().filter(|picture| picture.outcome().is_none()) {
            rollouts.extend(rollout::live(picture, now, rollout_look(self.look)).lines().map(str::to_owned));
        }
        // The rollout moves and the graph stands still meanwhile: it gets the room that it needs.
        let room = self.look.height.saturating_sub(1);
        let rest = room.saturating_sub(if rollouts.is_empty() { 0 } else { rollouts.len() + 1 });
        let mut lines =
            if self.view.started.is_some() { live::live(&self.view, now, look::Look { height: rest.max(4), ..self.look }) } else { Vec::new() };
        if !lines.is_empty() && !rollouts.is_empty() {
            lines.push(String::new());
        }
        lines.extend(rollouts);
        // What does not fit would scroll away and could not be erased.
        lines.truncate(room);
        put(&canvas.draw(&lines, self.look.width));
    }

    fn erase(&mut self) {
        if let Mode::Live(canvas) = &mut self.mode {
            put(&canvas.erase(terminal::run_look().width));
        }
    }

    pub fn view(&self) -> &run::view::View {
        &self.view
    }

    pub fn facts(&self) -> &[(Timestamp, RunFact)] {
        &self.facts
    }

    pub fn rollout_facts(&self) -> &HashMap<RolloutId, Vec<(Timestamp, RolloutFact)>> {
        &self.rollout_facts
    }

    pub fn pictures(&self) -> impl Iterator<Item = &rollout::Picture> {
        self.pictures.values()
    }

    pub fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live(_))
    }

    pub fn is_json(&self) -> bool {
        matches!(self.mode, Mode::Json)
    }

    /// The end of the story: the run (if there was one), then each rollout.
    pub fn summary(&self, tails: &[run::summary::LogTail]) -> String {
        let mut text = String::new();
        if self.view.started.is_some() {
            text.push_str(&run::summary::summary(&self.view, tails, clock::now(), self.look));
        }
        for picture in self.pictures.values() {
            text.push_str(if text.is_empty() { "" } else { "\n" });
            text.push_str(&rollout::summary(picture, rollout_look(self.look)));
            text.push('\n');
        }
        text
    }
}

fn rollout_look(look: look::Look) -> rollout::Look {
    rollout::Look { width: look.width, colour: look.colour }
}

/// In one piece, so that no half of a picture is seen. Not through what takes colours out: that would take the cursor's moves as well.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
