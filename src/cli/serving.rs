//! What becomes of the functions when a command that may have hosted them ends.

use super::print::println;

use super::args::Global;
use super::session::Session;
use crate::adapters::provider::AnyProvider;
use crate::model::fact::RolloutOutcome;
use crate::model::traffic::Destination;
use crate::report::rollout::Picture;
use crate::runtime::drive_run::Stop;

/// Where to read on about a release that did not do well: what its instances said.
pub fn say_where_logs_are<'a>(session: &Session, pictures: impl Iterator<Item = &'a Picture>) {
    for picture in pictures {
        if matches!(picture.outcome(), Some(RolloutOutcome::RolledBack { .. } | RolloutOutcome::Failed { .. })) {
            let logs = session.state.root().join("local/logs").join(picture.function());
            if logs.is_dir() {
                println!("\n  What {} said: {}/", picture.function(), logs.display());
            }
        }
    }
}

/// Says where the functions serve, or how to keep them serving; serves on if that was asked for; closes gracefully.
pub async fn end(global: &Global, session: Session, keep: bool, mut stop: Stop) {
    let Some(provider) = session.rollouts.opened() else { return };
    let AnyProvider::Local(local) = &*provider;
    let address = local.address();
    let mut functions = local.functions().await.unwrap_or_default();
    functions.retain(|function| function.traffic.split.iter().any(|(to, _)| *to != Destination::Vacant));
    if !global.json && !functions.is_empty() {
        match (local.hosted_elsewhere(), keep) {
            (None, false) => {
                println!("\n  To keep the functions serving:");
                println!("    tidegate serve{}", state_option(global));
                for function in &functions {
                    println!("    curl http://127.0.0.1:7070/{}/", function.name);
                }
            }
            _ => {
                println!("\n  Serving{}:", if keep { " until Ctrl-C" } else { "" });
                for function in &functions {
                    println!("    curl http://{address}/{}/", function.name);
                }
            }
        }
    }
    if keep && local.hosted_elsewhere().is_none() && stop.borrow().is_none() {
        let _ = stop.wait_for(Option::is_some).await;
    }
    drop(session);
    if let Some(AnyProvider::Local(local)) = std::sync::Arc::into_inner(provider) {
        local.close().await;
    }
}

/// What another command needs to find the same functions.
fn state_option(global: &Global) -> String {
    let inherited = std::env::var_os("TIDEGATE_STATE_DIR").map(std::path::PathBuf::from);
    match &global.state_dir {
        Some(folder) if inherited.as_ref() != Some(folder) => format!(" --state-dir {}", folder.display()),
        _ => String::new(),
    }
}
