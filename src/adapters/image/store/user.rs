//! Who a process of an image is, by the image's own list of users.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::error::{ImageError, said};
use super::super::reference::ImageName;
use super::{Image, Images, Kept};

/// Who a process in it is, as it sees itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// `None`: nobody says.
    pub home: Option<String>,
}

impl Images {
    /// Who the image wants its processes to be, by its own list of users.
    pub(super) fn user(&self, name: &ImageName, kept: &Kept) -> Result<User, ImageError> {
        let trees = kept.layers.iter().rev().map(|hex| self.layer(hex).join("tree"));
        let passwd = trees.into_iter().find_map(|tree| read_below(&tree, Path::new("etc/passwd"))).unwrap_or_default();
        let wanted = kept.process.user.as_str();
        user_of(if wanted.is_empty() { "0" } else { wanted }, &passwd).ok_or_else(|| ImageError::Malformed {
            reference: name.to_string(),
            why: format!("it wants to run as {:?}, who is not in its /etc/passwd", said(wanted)),
        })
    }
}

impl Image {
    /// The same image for somebody else, as its own list of users knows him.
    pub fn as_user(self, wanted: &str) -> Result<Self, ImageError> {
        let found = self.layers.iter().rev().find_map(|tree| read_below(&self.folder.join(tree), Path::new("etc/passwd")));
        let user = user_of(wanted, &found.unwrap_or_default()).ok_or_else(|| ImageError::Malformed {
            reference: self.reference.clone(),
            why: format!("{:?} is not in its /etc/passwd", said(wanted)),
        })?;
        Ok(Self { user, ..self })
    }
}

/// A small text file below a folder, through no link.
fn read_below(folder: &Path, path: &Path) -> Option<String> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    let at = File::open(folder).ok()?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(openat2(&at, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty(), resolve).ok()?);
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file.metadata().ok()?.is_file().then_some(file)?, 1 << 20), &mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// `name`, `uid`, `name:group` or `uid:gid`. A group that is no number is that of the user.
fn user_of(wanted: &str, passwd: &str) -> Option<User> {
    let (user, group) = wanted.split_once(':').map_or((wanted, None), |(user, group)| (user, Some(group)));
    let number = user.parse::<u32>().ok();
    let found = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|parts| parts.len() >= 6 && (parts[0] == user || number.is_some() && parts[2].parse().ok() == number));
    let own = |at: usize| found.as_ref().and_then(|parts| parts[at].parse::<u32>().ok());
    let uid = number.or_else(|| own(2)).or((user == "root").then_some(0))?;
    let gid = group.and_then(|group| group.parse().ok()).or_else(|| own(3)).unwrap_or(0);
    // The largest means "nobody" to the kernel.
    if uid == u32::MAX || gid == u32::MAX {
        return None;
    }
    let home = found.map(|parts| parts[5].to_owned()).or((uid == 0).then(|| "/root".to_owned()));
    Some(User { uid, gid, home: home.filter(|home| home.starts_with('/') && !home.contains("..") && home != "/nonexistent") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_or_somebody_whom_the_image_knows() {
        let users = "root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002::/home/app:/bin/sh\nbroken\nup:x:5:5::/../etc:/bin/sh\n";
        let user = |wanted: &str| user_of(wanted, users).map(|user| (user.uid, user.gid, user.home.unwrap_or_default()));
        assert_eq!(user("0"), Some((0, 0, "/root".to_owned())));
        assert_eq!(user("app"), Some((1001, 1002, "/home/app".to_owned())));
        assert_eq!(user("1001:7"), Some((1001, 7, "/home/app".to_owned())));
        assert_eq!(user("4711"), Some((4711, 0, String::new())));
        assert_eq!(user("up"), Some((5, 5, String::new())), "a home is a plain path");
        assert_eq!(user("who"), None);
        assert_eq!(user("4294967295"), None);
        assert_eq!(user_of("root", "").map(|user| user.uid), Some(0));
    }
}
