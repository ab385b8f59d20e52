//! What becomes of the functions when a command that may have hosted them ends.

use anstream::println;

use super::args::Global;
use super::session::Session;
use crate::adapters::provider::AnyProvider;
use crate::model::fact::RolloutOutcome;
use crate::model::traffic::{Destination, TrafficSplit};
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
    let functions = local.functions().await.unwrap_or_default();
    // A function that was rolled back to nothing has nobody to answer.
    let functions: Vec<_> = functions.into_iter().filter(|function| function.traffic.split != TrafficSplit::all(Destination::Vacant)).collect();
    if !global.json && !functions.is_empty() {
        match (local.hosted_elsewhere(), keep) {
            (None, false) => {
                println!("\n  This command hosted the gateway, and ends now. Keep the functions serving with `tidegate serve`:");
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
