//! Names that came from a file or a person → names of files.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::model::id::NodeId;

/// Longer names are cut: with what is added they stay below the 255 bytes of a file name.
const MAX: usize = 120;

/// A name that stands for `text` and for nothing else, is no path, is not hidden and reads like it: what is not plain becomes `-`, and then a digest
/// after a `~`, which no plain name has, tells it from others.
pub fn file_name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '=' | ',');
    if !text.is_empty() && text.len() <= MAX && text.chars().all(plain) && !text.starts_with(['.', '-']) {
        return text.to_owned();
    }
    let readable: String = text.chars().take(MAX).map(|c| if plain(c) { c } else { '-' }).collect();
    let digest = Sha256::digest(text.as_bytes());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}~{digest}", readable.trim_start_matches(['.', '-']))
}

/// `NODE.ATTEMPT.log`.
pub fn log_name(node: &NodeId, attempt: u32) -> String {
    format!("{}.log", attempt_name(node, attempt))
}

/// Of a service of an attempt, beside the attempt's own log: `NODE.ATTEMPT.SERVICE.log`. No step's log is called so: a service's name begins with a letter.
pub fn service_log(log: &Path, service: &str) -> PathBuf {
    let name = format!("{}.log", file_name(service));
    log.with_extension(name)
}

/// `NODE.ATTEMPT`.
pub fn attempt_name(node: &NodeId, attempt: u32) -> String {
    format!("{}.{attempt}", file_name(node.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_stay_and_others_become_readable_ones() {
        assert_eq!(log_name(&NodeId::new("build"), 2), "build.2.log");
        assert_eq!(log_name(&NodeId::new("test[os=a b]"), 1), format!("test-os=a-b-~{}.1.log", digest("test[os=a b]")));
        assert_eq!(file_name("../../etc/passwd"), format!("etc-passwd~{}", digest("../../etc/passwd")));
        assert_eq!(service_log(Path::new("/runs/r1/build.2.log"), "db"), Path::new("/runs/r1/build.2.db.log"));
        assert_eq!(file_name(""), format!("~{}", digest("")));
    }

    fn digest(text: &str) -> String {
        Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    proptest! {
        #[test]
        fn a_file_name_is_no_path_and_two_texts_never_share_one(a in ".{0,300}", b in "[a-c/.~-]{0,4}", c in "[a-c/.~-]{0,4}") {
            for name in [file_name(&a), file_name(&b)] {
                prop_assert!(!name.is_empty() && name.len() < 200);
                prop_assert!(!name.contains('/') && !name.starts_with('.') && !name.contains('\0'));
            }
            prop_assert_eq!(b == c, file_name(&b) == file_name(&c));
        }
    }
}
