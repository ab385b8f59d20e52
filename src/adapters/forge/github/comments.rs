//! The one comment of a pull request: found by a marker that nobody sees, and by who wrote it.

use serde::Deserialize;
use serde_json::json;

use crate::model::check::{Place, Reaction};
use crate::model::settings::GithubLogin;

use super::super::ForgeError;
use super::call::Request;
use super::checks::cut;
use super::{Github, names};

/// At the very beginning of the comment. Others can write it as well: so who wrote it counts too.
const MARKER: &str = "<!-- tidegate:report -->";
/// GitHub allows 65,536 characters, of any length.
const MOST_BYTES: usize = 65_000;
const PAGES: usize = 20;

#[derive(Deserialize)]
struct Comment {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    user: Option<User>,
    #[serde(default)]
    performed_via_github_app: Option<App>,
}

#[derive(Deserialize)]
struct App {
    id: u64,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

impl Reaction {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "+1",
            Self::Refused => "-1",
            Self::Unclear => "confused",
        }
    }
}

impl Github {
    pub async fn create_comment(&self, place: &Place, pull: u64, body: &str) -> Result<u64, ForgeError> {
        let path = format!("{}/issues/{pull}/comments", names::repository(place)?);
        let made: Comment = self.call(place, Request::post(path, &json!({ "body": marked(body) }))).await?;
        Ok(made.id)
    }

    pub async fn edit_comment(&self, place: &Place, id: u64, body: &str) -> Result<(), ForgeError> {
        let path = format!("{}/issues/comments/{id}", names::repository(place)?);
        self.call::<serde::de::IgnoredAny>(place, Request::patch(path, &json!({ "body": marked(body) }))).await.map(drop)
    }

    /// A sign at somebody's comment, in a pull request or at a commit. One that is there already stays as it is.
    pub async fn react(&self, place: &Place, at_commit: bool, comment: u64, reaction: Reaction) -> Result<(), ForgeError> {
        let whose = if at_commit { "comments" } else { "issues/comments" };
        let path = format!("{}/{whose}/{comment}/reactions", names::repository(place)?);
        self.call::<serde::de::IgnoredAny>(place, Request::post(path, &json!({ "content": reaction.word() }))).await.map(drop)
    }

    /// Ours that was made before, whoever has forgotten its id. One with our marker that somebody else wrote is not ours.
    pub async fn find_comment(&self, place: &Place, pull: u64) -> Result<Option<u64>, ForgeError> {
        let path = format!("{}/issues/{pull}/comments", names::repository(place)?);
        let me = match &self.inner.login {
            GithubLogin::App { .. } => None,
            GithubLogin::Token(_) => Some(self.call::<User>(place, Request::get("/user".to_owned())).await?.login),
        };
        let all: Vec<Comment> = self.list(place, &path, PAGES, serde_json::from_value).await?;
        let ours = |comment: &Comment| match (&self.inner.login, &me) {
            (GithubLogin::App { id, .. }, _) => comment.performed_via_github_app.as_ref().is_some_and(|app| app.id == *id),
            (GithubLogin::Token(_), me) => comment.user.as_ref().map(|user| &user.login) == me.as_ref(),
        };
        Ok(all.into_iter().find(|it| it.body.as_deref().is_some_and(|body| body.starts_with(MARKER)) && ours(it)).map(|comment| comment.id))
    }
}

fn marked(body: &str) -> String {
    format!("{MARKER}\n{}", cut(body, MOST_BYTES))
}
