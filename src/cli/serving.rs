//! What becomes of the functions when a command that may have hosted them ends.

use anstream::println;

use super::args::Global;
use super::session::Session;
use crate::adapters::provider::AnyProvider;
use crate::runtime::drive_run::Stop;

/// Says where the functions serve, or how to keep them serving; serves on if that was asked for; closes gracefully.
pub async fn end(global: &Global, session: Session, keep: bool, mut stop: Stop) {
    let Some(provider) = session.rollouts.opened() else { return };
    let AnyProvider::Local(local) = &*provider;
    let address = local.address();
    let functions = local.functions().await.unwrap_or_default();
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
