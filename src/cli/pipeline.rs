//! Pipeline files for subcommands: found, read with a limit, loaded, their errors said.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::args::{EventArguments, EventKindArgument, Global};
use crate::core::spec::{self, Pipeline};
use crate::model::diagnostic::{Diagnostic, Level};
use crate::model::event::EventKind;
use crate::report::diagnostics::Look;

/// Tidegate's own actions, by the name that stands behind `uses`.
const ACTIONS: &[(&str, &str)] = &[("secret-scan", include_str!("../../actions/secret-scan/action.yaml"))];

/// A pipeline with the text that its diagnostics point into.
#[derive(Debug)]
pub struct Loaded {
    pub file: String,
    pub text: String,
    pub pipeline: Pipeline,
}

/// The folder of the repository, as far as the command line says.
pub fn folder(global: &Global) -> PathBuf {
    global.repository.clone().unwrap_or_else(|| PathBuf::from("."))
}

pub fn look(global: &Global) -> Look {
    super::terminal::diagnostics_look(global)
}

/// Every `.tidegate/*.yaml`, sorted; the policy among them.
pub fn all_files(global: &Global) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder(global).join(".tidegate")) else { return Vec::new() };
    let yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(yaml).collect();
    files.sort();
    files
}

/// The text of a file, at most as long as a pipeline may be.
pub fn read(path: &Path) -> Result<String, String> {
    let name = path.display();
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file {name}"),
        _ => format!("{name} can not be read: {error}"),
    })?;
    if file.metadata().is_ok_and(|data| !data.is_file()) {
        return Err(format!("{name} is not a file"));
    }
    let mut bytes = Vec::new();
    // One byte past the limit is enough to see that it is passed.
    file.take(spec::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| format!("{name} can not be read: {error}"))?;
    if bytes.len() > spec::MAX_BYTES {
        return Err(format!("{name} is larger than {} bytes (1 MiB): split it into several pipelines", spec::MAX_BYTES));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("{name} is not text in UTF-8 (byte {at} is not): save it as UTF-8")
    })
}

/// One of Tidegate's own actions.
pub fn own_action(name: &str) -> Option<String> {
    ACTIONS.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
}

/// What stands behind `uses`: one of Tidegate's own actions, or a folder of the repository.
pub fn action(repository: &Path, name: &str) -> Option<String> {
    match name.strip_prefix("./") {
        None => own_action(name),
        Some(path) => {
            let root = repository.canonicalize().ok()?;
            let file = root.join(path).join("action.yaml").canonicalize().ok()?;
            // A link may not lead out of the repository.
            file.starts_with(&root).then(|| read(&file).ok())?
        }
    }
}

/// Loads one file; the text comes back with its errors so that they can be shown.
pub fn load(global: &Global, path: &Path) -> Result<Loaded, (String, Vec<Diagnostic>)> {
    let file = path.display().to_string();
    let text = read(path).map_err(|message| (String::new(), vec![unreadable(message)]))?;
    let repository = folder(global);
    match spec::load(&file, &text, &|name| action(&repository, name)) {
        Ok(pipeline) => Ok(Loaded { file, text, pipeline }),
        Err(errors) => Err((text, errors)),
    }
}

/// About a file as a whole.
pub fn unreadable(message: String) -> Diagnostic {
    Diagnostic { level: Level::Error, code: "file".into(), message, route: String::new(), span: None, label: String::new(), hints: vec![] }
}

pub fn kind(argument: EventKindArgument) -> EventKind {
    match argument {
        EventKindArgument::Manual => EventKind::Manual,
        EventKindArgument::Push => EventKind::Push,
        EventKindArgument::PullRequest => EventKind::PullRequest,
        EventKindArgument::Schedule => EventKind::Schedule,
    }
}

/// `--param KEY=VALUE`, each at most once.
pub fn params(arguments: &EventArguments) -> Result<std::collections::BTreeMap<String, String>, String> {
    params_of(&arguments.params)
}

pub fn params_of(given: &[String]) -> Result<std::collections::BTreeMap<String, String>, String> {
    let mut params = std::collections::BTreeMap::new();
    for param in given {
        let (key, value) = param.split_once('=').ok_or_else(|| format!("--param {param:?} has no `=`: write --param KEY=VALUE"))?;
        if params.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("--param {key} is given twice"));
        }
    }
    Ok(params)
}
