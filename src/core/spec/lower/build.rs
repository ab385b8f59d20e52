//! `build:` of a step.

use super::super::fields::names;
use super::super::pipeline::BuildSource;
use super::super::places::Part;
use super::super::problems::Problems;
use super::cursor::Cursor;
use super::scope::Scope;
use super::texts;
use crate::model::build::Begins;
use crate::model::invocation::OutputDeclaration;

pub fn lower(step: &Cursor<'_>, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Option<BuildSource> {
    let build = step.key("build")?;
    let begins = Begins {
        entrypoint: build.texts_at("entrypoint"),
        cmd: build.texts_at("cmd"),
        workdir: build.text_at("workdir"),
        user: build.text_at("user"),
    };
    let tag = build.key("tag").map(|tag| texts::template(&tag, scope, problems));
    let env = texts::env(build.key("env").as_ref(), scope, problems);
    Some(BuildSource { archive: build.text_at("archive").unwrap_or_default(), tag, env, begins })
}

/// What it has to stand beside.
pub fn check(step: &Cursor<'_>, build: &BuildSource, outputs: &[OutputDeclaration], problems: &mut Problems<'_>) {
    let Some(at) = step.key("build") else { return };
    if step.key("deploy").is_some() {
        return;
    }
    if step.key("image").is_none() {
        let message = "build belongs to image: what is built stands on the image that the step runs in";
        problems.error("conflicting-keys", &at.route, Part::Key, message.to_owned(), "has no meaning without image");
    }
    let lost = names::file_name(&build.archive).is_ok() && !outputs.iter().any(|output| output.path == build.archive);
    if let Some(archive) = at.key("archive").filter(|_| lost) {
        let message = format!("no output of this step is {:?}, so the image would be thrown away", build.archive);
        problems.error("invalid-value", &archive.route, Part::Value, message, "expected the path of an output");
        problems.hint(format!("add outputs: {{ image: {} }}", build.archive));
    }
}
