//! Arguments about a server: who it lets in, and what it says of itself.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Debug, Args)]
pub struct TokensArguments {
    #[command(subcommand)]
    pub command: TokensCommand,
}

#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Make a token and show it, this once
    Create {
        /// What it is for
        name: String,
        /// What it may; each may look as well
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<ScopeArgument>,
        /// How long it holds, such as 12h or 30d [default: until it is revoked]
        #[arg(long, value_name = "DURATION")]
        expires: Option<Lasting>,
    },
    /// List tokens, with what they may and when they were last used
    Ls,
    /// Let nobody in with a token any more
    Revoke {
        /// As `tokens ls` has it
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArgument {
    Read,
    Run,
    Approve,
    Deploy,
    Admin,
}

/// As a pipeline file writes durations, with days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting(pub std::time::Duration);

impl std::str::FromStr for Lasting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const DAY: u64 = 86_400;
        let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()).filter(|days| *days <= 36_500);
        let lasting = match days {
            Some(days) => std::time::Duration::from_secs(days * DAY),
            None => crate::core::spec::fields::duration::parse(text)?,
        };
        if lasting.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(Self(lasting)) }
    }
}

#[derive(Debug, Args)]
pub struct LoginArguments {
    /// Where the server is: https://HOST
    pub url: String,
    /// Forget the token for it instead
    #[arg(long)]
    pub forget: bool,
}
