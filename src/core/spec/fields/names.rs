//! Names and paths that a person chooses.

/// Of a step, function, output, parameter, matrix key: what reads the same in YAML, CEL, file names and URLs.
pub fn name(text: &str) -> Result<(), String> {
    let first = text.chars().next().ok_or("it is empty")?;
    if !first.is_ascii_alphabetic() && first != '_' {
        return Err("it must start with a letter".into());
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')) {
        return Err(format!("{bad:?} can not be part of it"));
    }
    if text.len() > 64 { Err("it is longer than 64 characters".into()) } else { Ok(()) }
}

/// Of a person at a forge. No program's: a bot approves nothing.
pub fn login(text: &str) -> Result<(), String> {
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')) {
        _ if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) => Err("it must start with a letter or digit".into()),
        Some(bad) => Err(format!("{bad:?} can not be part of it")),
        None if text.len() > 64 => Err("it is longer than 64 characters".into()),
        None => Ok(()),
    }
}

/// Of an environment variable.
pub fn variable(text: &str) -> Result<(), String> {
    let first = text.chars().next().ok_or("it is empty")?;
    if !first.is_ascii_alphabetic() && first != '_' {
        return Err("it must start with a letter or `_`".into());
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_') {
        return Err(format!("{bad:?} can not be part of it"));
    }
    if text.starts_with("TIDEGATE_") { Err("names that start with TIDEGATE_ are Tidegate's own".into()) } else { Ok(()) }
}

/// A path inside the workspace that does not lead out of it.
pub fn relative_path(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.starts_with('/') || text.starts_with('~') {
        return Err("it must be relative to the workspace".into());
    }
    if text.contains('\\') {
        return Err(r"parts of a path are separated by /, not by \".into());
    }
    if text.split('/').any(|part| part == "..") {
        return Err("`..` would leave the workspace".into());
    }
    if text.split('/').all(|part| part.is_empty() || part == ".") {
        return Err("it names the whole workspace: name a file or folder in it".into());
    }
    if text.chars().any(char::is_control) { Err("it holds a control character".into()) } else { Ok(()) }
}

/// A file right in the workspace.
pub fn file_name(text: &str) -> Result<(), String> {
    relative_path(text)?;
    if text.contains('/') { Err("it must be right in the workspace, without a folder".into()) } else { Ok(()) }
}

/// What a step needs, by output: `build.bundle`.
pub fn artifact(text: &str) -> Result<(String, String), String> {
    let (step, output) = text.split_once('.').ok_or("there is no `.` between step and output")?;
    name(step).map_err(|why| format!("{step:?} is no step: {why}"))?;
    name(output).map_err(|why| format!("{output:?} is no output: {why}"))?;
    Ok((step.to_owned(), output.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_variables() {
        for good in ["a", "unit-test", "_x", "Build2"] {
            assert_eq!(name(good), Ok(()), "{good}");
        }
        for bad in ["", "2x", "a.b", "a b", "a/b", "ünder", "x[y]", "-a", &"a".repeat(65)] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert_eq!(variable("API_KEY"), Ok(()));
        for bad in ["", "1A", "A-B", "A=B", "TIDEGATE_OUTPUT"] {
            assert!(variable(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_never_leaves_the_workspace() {
        for good in ["dist/function.zip", "a", "./a/b", "..a/b", "a..b"] {
            assert_eq!(relative_path(good), Ok(()), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../../b", "a/..", "~/x", ".", "./", "a\\b", "a\nb"] {
            assert!(relative_path(bad).is_err(), "{bad}");
        }
    }
}
