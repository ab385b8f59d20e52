//! Floor 5: the command line. Parse, call, print; one file a subcommand.

mod approvals;
pub mod args;
mod canvas;
mod check;
mod completions;
mod deliveries;
mod deploy;
mod doctor;
pub mod exit;
mod here;
mod images;
mod log;
mod login;
pub mod pipeline;
mod place;
mod plan;
mod print;
mod rollout;
mod run;
mod runs;
mod scan;
mod schema;
mod screen;
mod serve;
mod serving;
mod session;
mod settings;
mod terminal;
mod tokens;
mod trigger;
mod workflow;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};
use exit::Exit;

/// Runs the program. Reads the process's arguments, as `main` has nothing else to do.
pub fn run() -> ExitCode {
    // The sandbox's first process must do its work before any thread exists.
    if std::env::args_os().nth(1).is_some_and(|first| first == crate::adapters::sandbox::INIT_COMMAND) {
        return crate::adapters::sandbox::init_main(crate::adapters::executor::supervise);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success }.into();
        }
    };
    let global = arguments.global;
    terminal::choose_colours(&global);
    if let Some(command) = here_only(&arguments.command)
        && let Err(why) = place::only_here(&global, command)
    {
        return session::fail(Exit::Usage, why).into();
    }
    match arguments.command {
        Command::Check(arguments) => check::run(&global, &arguments),
        Command::Plan(arguments) => plan::run(&global, &arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Run(arguments) => workflow::around(&arguments.report, |workflow| run::run(&global, &arguments, workflow)),
        Command::Trigger(arguments) => workflow::around(&arguments.report, |workflow| trigger::run(&global, &arguments, workflow)),
        Command::Runs(arguments) => runs::run(&global, &arguments),
        Command::Deploy(arguments) => workflow::around(&arguments.report, |workflow| deploy::run(&global, &arguments, workflow)),
        Command::Rollout(arguments) => rollout::run(&global, &arguments),
        Command::Serve(arguments) => serve::run(&global, &arguments),
        Command::Deliveries(arguments) => deliveries::run(&global, &arguments),
        Command::Tokens(arguments) => tokens::run(&global, &arguments),
        Command::Login(arguments) => login::run(&global, &arguments),
        Command::Scan(arguments) => scan::run(&global, &arguments),
        Command::Images(arguments) => images::run(&global, &arguments),
        Command::Doctor => doctor::run(&global),
        Command::Completions(arguments) => completions::run(&arguments),
    }
    .into()
}

/// What makes no sense on a server, by the name that a person has typed.
fn here_only(command: &Command) -> Option<&'static str> {
    match command {
        Command::Run(_) => Some("tidegate run"),
        Command::Deploy(_) => Some("tidegate deploy"),
        Command::Serve(_) => Some("tidegate serve"),
        Command::Tokens(_) => Some("tidegate tokens"),
        Command::Images(_) => Some("tidegate images"),
        Command::Doctor => Some("tidegate doctor"),
        Command::Runs(args::RunsArguments { command: args::RunsCommand::Replay(_) }) => Some("tidegate runs replay"),
        // They ask nobody, or know both.
        Command::Check(_)
        | Command::Plan(_)
        | Command::Schema(_)
        | Command::Trigger(_)
        | Command::Deliveries(_)
        | Command::Runs(_)
        | Command::Rollout(_)
        | Command::Login(_)
        | Command::Scan(_)
        | Command::Completions(_) => None,
    }
}
