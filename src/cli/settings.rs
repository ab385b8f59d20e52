//! The settings file: where it is, whether it may be trusted, and what it says.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::args::Global;
use super::pipeline;
use crate::core::spec;
use crate::model::settings::Settings;
use crate::report::diagnostics::render;

/// What holds, and the file that says so, if there is one.
#[derive(Debug)]
pub struct Found {
    pub path: Option<PathBuf>,
    pub settings: Settings,
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the settings {} can not be read: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("the settings {} are not used: {why}. They decide about security, so only you (or root) may be able to write them: {remedy}", path.display())]
    Untrusted { path: PathBuf, why: String, remedy: String },
    /// With all that is wrong, as it is shown.
    #[error("the settings are wrong:\n{0}")]
    Wrong(String),
}

/// The file that was named must be there; one in the usual place may be absent.
pub fn load(global: &Global) -> Result<Found, SettingsError> {
    let named = global.config.clone();
    let Some(path) = named.clone().or_else(|| usual(|name| std::env::var_os(name))) else {
        return Ok(Found { path: None, settings: Settings::default() });
    };
    let file = match File::open(&path) {
        Err(error) if named.is_none() && matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Found { path: None, settings: Settings::default() });
        }
        Err(error) => return Err(SettingsError::Unreadable { path, why: error.to_string() }),
        Ok(file) => file,
    };
    trusted(&path, &file)?;
    let text = text(&path, file)?;
    let settings = spec::load_settings(&text)
        .map_err(|errors| SettingsError::Wrong(render(&path.display().to_string(), &text, &errors, pipeline::look(global)).trim_end().to_owned()))?;
    Ok(Found { path: Some(path), settings })
}

/// By the XDG rules, which say that a relative path is to be ignored.
pub fn usual(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("tidegate/settings.yaml"))
}

fn text(path: &Path, file: File) -> Result<String, SettingsError> {
    let unreadable = |why: String| SettingsError::Unreadable { path: path.to_owned(), why };
    let mut bytes = Vec::new();
    file.take(spec::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() > spec::MAX_BYTES {
        return Err(unreadable(format!("it is larger than {} bytes", spec::MAX_BYTES)));
    }
    String::from_utf8(bytes).map_err(|_| unreadable("it is not text in UTF-8".to_owned()))
}

/// Of the file that was opened, whatever stands under its name by now, and of the folder that it is really in.
fn trusted(path: &Path, file: &File) -> Result<(), SettingsError> {
    let unreadable = |error: std::io::Error| SettingsError::Unreadable { path: path.to_owned(), why: error.to_string() };
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(SettingsError::Unreadable { path: path.to_owned(), why: "it is not a file".to_owned() });
    }
    let real = path.canonicalize().map_err(unreadable)?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let around = std::fs::metadata(folder).map_err(unreadable)?;
    let me = rustix::process::geteuid().as_raw();
    // Where the sticky bit is, nobody can put another file in the place of this one.
    let sticky = around.mode() & 0o1000 != 0;
    let why =
        distrust(&found, me, false).map(|why| (why, real.clone())).or_else(|| distrust(&around, me, sticky).map(|why| (why, folder.to_owned())));
    match why {
        None => Ok(()),
        Some((why, at)) => {
            let at = at.display();
            Err(SettingsError::Untrusted { path: path.to_owned(), why: format!("{at} {why}"), remedy: format!("`chown {me} {at}; chmod go-w {at}`") })
        }
    }
}

fn distrust(found: &Metadata, me: u32, shared: bool) -> Option<&'static str> {
    match found.mode() & 0o022 {
        _ if found.uid() != me && found.uid() != 0 => Some("belongs to another user"),
        0 => None,
        _ if shared => None,
        _ => Some("may be written by others"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn at(variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| std::ffi::OsString::from(value));
        usual(variable).map(|path| path.display().to_string())
    }

    #[test]
    fn the_usual_place_is_where_the_xdg_rules_say() {
        assert_eq!(at(&[("HOME", "/home/ada")]).as_deref(), Some("/home/ada/.config/tidegate/settings.yaml"));
        assert_eq!(at(&[("HOME", "/home/ada"), ("XDG_CONFIG_HOME", "/etc/ada")]).as_deref(), Some("/etc/ada/tidegate/settings.yaml"));
        assert_eq!(at(&[("HOME", "/home/ada"), ("XDG_CONFIG_HOME", "here")]).as_deref(), Some("/home/ada/.config/tidegate/settings.yaml"));
        assert_eq!(at(&[]), None);
    }

    #[test]
    fn what_others_may_write_or_replace_is_not_trusted() {
        let place = tempfile::tempdir().unwrap();
        let (folder, file) = (place.path().join("folder"), place.path().join("folder/settings.yaml"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "").unwrap();
        let mode = |path: &Path, bits| std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
        let ask = |path: &Path| trusted(path, &File::open(path).unwrap()).map_err(|error| error.to_string());
        mode(&folder, 0o755);
        mode(&file, 0o644);
        assert_eq!(ask(&file), Ok(()));
        for bits in [0o666, 0o664, 0o646] {
            mode(&file, bits);
            assert!(ask(&file).unwrap_err().contains("may be written by others"), "{bits:o}");
        }
        mode(&file, 0o600);
        mode(&folder, 0o777);
        let said = ask(&file).unwrap_err();
        assert!(said.contains("folder may be written by others"), "{said}");
        // Behind a link it is the folder of what it leads to that counts.
        let link = place.path().join("link.yaml");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(ask(&link).is_err());
        mode(&folder, 0o1777);
        assert_eq!(ask(&file), Ok(()));
    }
}
