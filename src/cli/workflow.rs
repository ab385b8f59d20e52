//! `--report github-actions`: what the runner of a GitHub workflow is told by a command that runs in it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::args::{ReportArgument, ReportArguments};
use super::exit::Exit;
use super::print::println;
use super::screen::Screen;
use crate::core::spec::Pipeline;
use crate::model::check::{Annotation, Check, Level};
use crate::model::fact::RolloutOutcome;
use crate::report::github::{self, House, Known};
use crate::report::rollout;
use crate::report::run::summary::LogTail;
use crate::report::run::view::NodeView;
use crate::report::workflow::{Told, command, file, of_run};

/// Bytes of a step's summary that GitHub shows.
const SUMMARY: usize = 1 << 20;

/// What a command says to the workflow around it, if it runs in one.
#[derive(Debug, Default)]
pub struct Workflow {
    pub told: Told,
    asked: bool,
}

/// Runs a command with what it prints kept from being commands for the runner, and then tells the runner how it went.
pub fn around(arguments: &ReportArguments, run: impl FnOnce(&mut Workflow) -> Exit) -> Exit {
    let Some(ReportArgument::GithubActions) = arguments.report else { return run(&mut Workflow::default()) };
    let mut workflow = Workflow { asked: true, told: Told::default() };
    let token = match random() {
        Ok(token) => token,
        Err(error) => return super::session::fail(Exit::Infrastructure, format!("/dev/urandom can not be read: {error}")),
    };
    // The runner reads both streams, each on its own: in one, what comes first is obeyed first.
    if let Err(error) = rustix::stdio::dup2_stderr(std::io::stdout()) {
        return super::session::fail(Exit::Infrastructure, format!("standard error can not be joined with standard output: {error}"));
    }
    println!("{}", command::stop(&token));
    let exit = run(&mut workflow);
    println!("{}", command::resume(&token));
    workflow.tell(exit);
    exit
}

impl Workflow {
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// What has become of it, by the facts that the screen has seen.
    pub fn take(&mut self, screen: &Screen, tails: &[LogTail], of: Option<(&str, &Pipeline)>) {
        if !self.asked {
            return;
        }
        let view = screen.view();
        let known = Known { request: &[], run: screen.facts(), rollouts: screen.rollout_facts(), tails, findings: &Default::default() };
        let house = House { templates: Default::default(), prices: Default::default(), url: None };
        let said = github::said(known, &house);
        self.told.annotations.extend(of_run(view, said.as_ref(), of.map_or("", |(file, _)| file), of.map(|(_, pipeline)| pipeline)));
        self.told.summary = said.as_ref().and_then(|said| said.checks.first()).map(|check| check.summary.clone()).unwrap_or_default();
        let speaks = |check: &Check| view.nodes.iter().any(|node| check.external.node.as_ref() == Some(&node.id) && has_more_to_say(node));
        for check in said.iter().flat_map(|said| &said.checks).skip(1).filter(|check| is_failure(check) || speaks(check)) {
            self.told.summary.push_str(&format!("\n### {}\n{}\n", github::text::code(&check.name), check.summary));
        }
        if let Some(run) = &view.run {
            self.told.outputs.insert("run", run.to_string());
        }
        if let Some((_, outcome)) = view.ended {
            self.told.outputs.insert("outcome", outcome.word().to_owned());
        }
    }

    /// What became of a deploy by hand.
    pub fn deployed<'a>(&mut self, pictures: impl Iterator<Item = &'a rollout::Picture>) {
        for picture in pictures {
            let text = rollout::summary(picture, rollout::Look { width: 100, colour: false });
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let heading = format!("### Rollout of {}", github::text::code(picture.function()));
            self.told.summary.push_str(&format!("{heading}\n{}\n", github::text::fenced(&lines, 64 << 10)));
            let outcome = picture.outcome().map_or("interrupted", word);
            self.told.outputs.insert("outcome", outcome.to_owned());
            if let Some(rollout) = picture.rollout() {
                self.told.outputs.insert("rollout", rollout.id().to_string());
            }
            if !matches!(picture.outcome(), Some(RolloutOutcome::Promoted | RolloutOutcome::Unchanged)) {
                self.told.annotations.push(remark(Level::Failure, "tidegate", format!("the rollout of {} was {outcome}", picture.function())));
            }
        }
    }

    /// Nothing was run, and that is right.
    pub fn skipped(&mut self, why: String) {
        self.told.outputs.insert("outcome", "skipped".to_owned());
        self.told.annotations.push(remark(Level::Notice, "tidegate", why));
    }

    fn tell(mut self, exit: Exit) {
        if exit != Exit::Success && self.told.annotations.is_empty() {
            self.told.annotations.push(remark(Level::Failure, "tidegate", format!("{}: its log says why", exit.words())));
        }
        let more = self.told.annotations.len().saturating_sub(command::MOST);
        for annotation in self.told.annotations.iter().take(command::MOST) {
            println!("{}", command::annotation(annotation));
        }
        if more > 0 {
            println!("{}", command::annotation(&remark(Level::Notice, "tidegate", format!("{more} more are in the log only"))));
        }
        self.told.outputs.entry("outcome").or_insert_with(|| exit.words().to_owned());
        self.told.outputs.insert("exit-code", exit.code().to_string());
        let written = self.write_outputs().and_then(|()| self.write_summary());
        if let Err(why) = written {
            println!("{}", command::annotation(&remark(Level::Warning, "tidegate", why)));
        }
    }

    fn write_outputs(&self) -> Result<(), String> {
        let mut text = String::new();
        for (name, value) in &self.told.outputs {
            let delimiter = random().map_err(|error| format!("/dev/urandom can not be read: {error}"))?;
            text.push_str(&file::output(name, value, &delimiter).ok_or_else(|| format!("the output {name} can not be written"))?);
        }
        append("GITHUB_OUTPUT", &text)
    }

    fn write_summary(&self) -> Result<(), String> {
        if self.told.summary.is_empty() {
            return Ok(());
        }
        let text = &self.told.summary;
        let text = &text[..text.floor_char_boundary(SUMMARY - 1)];
        append("GITHUB_STEP_SUMMARY", &format!("{text}\n"))
    }
}

fn word(outcome: &RolloutOutcome) -> &'static str {
    match outcome {
        RolloutOutcome::Promoted => "promoted",
        RolloutOutcome::Unchanged => "unchanged",
        RolloutOutcome::RolledBack { .. } => "rolled back",
        RolloutOutcome::Aborted { .. } => "aborted",
        RolloutOutcome::Failed { .. } => "failed",
        RolloutOutcome::Stuck { .. } => "stuck",
    }
}

fn is_failure(check: &Check) -> bool {
    use crate::model::check::{CheckState, Conclusion};
    matches!(check.state, CheckState::Done(Conclusion::Failure | Conclusion::TimedOut))
}

/// Findings, or a summary of its own.
fn has_more_to_say(node: &NodeView) -> bool {
    node.record.as_ref().is_some_and(|record| !record.found.is_empty() || !record.summary.is_empty())
}

pub fn remark(level: Level, title: &str, message: String) -> Annotation {
    Annotation { path: String::new(), line: 1, level, title: title.to_owned(), message }
}

/// To a file that the runner has made; nothing where it has made none.
fn append(variable: &str, text: &str) -> Result<(), String> {
    let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else { return Ok(()) };
    let path = Path::new(&path);
    let open = File::options().append(true).create(true).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| format!("${variable}, {}, can not be written: {error}", path.display()))
}

/// What nobody can guess who prints something.
fn random() -> std::io::Result<String> {
    let mut bytes = [0; 24];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold("tidegate-".to_owned(), |text, byte| format!("{text}{byte:02x}")))
}
