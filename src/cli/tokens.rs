//! `tidegate tokens`: who the API lets in, besides people who log in. Works on the state folder, whether its server runs or not.

use super::args::{Global, Lasting, ScopeArgument, TokensArguments, TokensCommand};
use super::exit::Exit;
use super::print::{eprintln, println};
use super::session;
use crate::adapters::access::{Access, AccessError};
use crate::adapters::state::{self, StateError, StateFolder};
use crate::model::access::{Scope, Scopes, Token};
use crate::model::time::Timestamp;
use crate::report::run::list::date;
use crate::report::run::text::{clean, pad, width};
use crate::runtime::clock;

#[derive(Debug, thiserror::Error)]
enum TokensError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Access(#[from] AccessError),
}

pub fn run(global: &Global, arguments: &TokensArguments) -> Exit {
    match answer(global, &arguments.command) {
        Ok(()) => Exit::Success,
        Err(error @ TokensError::Access(AccessError::Unusable { .. }) | error @ TokensError::State(_)) => session::fail(Exit::Infrastructure, error),
        Err(error) => session::fail(Exit::Usage, error),
    }
}

fn answer(global: &Global, command: &TokensCommand) -> Result<(), TokensError> {
    let state = StateFolder::open(state::locate(global.state_dir.as_deref(), |name| std::env::var_os(name))?)?;
    // Whoever finds the folder not empty later finds one of ours.
    let _owner = state.claim()?;
    let access = Access::open(&state.access())?;
    match command {
        TokensCommand::Create { name, scopes, expires } => create(global, &access, name, scopes, *expires),
        TokensCommand::Ls => list(global, &access.tokens()?),
        TokensCommand::Revoke { name } => {
            access.revoke_token(name)?;
            println!("{} opens nothing any more", clean(name));
            Ok(())
        }
    }
}

fn create(global: &Global, access: &Access, name: &str, scopes: &[ScopeArgument], expires: Option<Lasting>) -> Result<(), TokensError> {
    let scopes = Scopes::new(scopes.iter().map(|scope| match scope {
        ScopeArgument::Read => Scope::Read,
        ScopeArgument::Run => Scope::Run,
        ScopeArgument::Approve => Scope::Approve,
        ScopeArgument::Deploy => Scope::Deploy,
        ScopeArgument::Admin => Scope::Admin,
    }));
    let now = clock::now();
    let expires = expires.map(|Lasting(lasting)| now.after(lasting));
    let token = access.create_token(name, &scopes, now, expires)?;
    let token = String::from_utf8_lossy(token.reveal()).into_owned();
    if global.json {
        println!("{}", serde_json::json!({ "name": name, "scopes": scopes, "expires": expires, "token": token }));
    } else {
        println!("{token}");
        let until = expires.map_or("until it is revoked".to_owned(), |expires| format!("until {}", date(expires)));
        eprintln!("This is the only time that it is shown. It may {}, {until}.", scopes.words().replace(',', ", "));
    }
    Ok(())
}

fn list(global: &Global, tokens: &[Token]) -> Result<(), TokensError> {
    if tokens.is_empty() && !global.json {
        eprintln!("There are no tokens yet: `tidegate tokens create NAME --scope SCOPE` makes one.");
    }
    let now = clock::now();
    let longest = |text: fn(&Token) -> String| tokens.iter().map(|token| width(&text(token))).max().unwrap_or(0);
    let (names, scopes) = (longest(|token| token.name.clone()), longest(|token| token.scopes.words()));
    for token in tokens {
        if global.json {
            println!("{}", serde_json::json!(token));
            continue;
        }
        let expires = match token.expires {
            None => "for ever".to_owned(),
            Some(expires) if expires <= now => format!("over since {}", date(expires)),
            Some(expires) => format!("until {}", date(expires)),
        };
        let used = token.used.map_or("never used".to_owned(), |used: Timestamp| format!("used {}", date(used)));
        println!("{}  {}  {}  {used}", pad(&clean(&token.name), names), pad(&token.scopes.words(), scopes), pad(&expires, 32));
    }
    Ok(())
}
