//! What of the host is shown inside: its tools, read-only, and as little of `/etc` as programs need to run. Never `/root`, `/home`, `/var`,
//! `/etc/shadow`, or who lives on the machine: users and hosts are made up.

use std::fs;
use std::path::{Path, PathBuf};

use super::{INNER_HOME, INNER_UID};

/// Where the host's tools are inside.
pub const TOOL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Folders at the root that hold tools. On merged systems most are links into `/usr`; they are shown as the links that they are.
const TOOLS: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];

/// What programs read of `/etc` and everyone may know. A name that does not exist is left out.
const ETC: [&str; 17] = [
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "pki/tls/certs",
    "pki/ca-trust",
    "ca-certificates",
    "localtime",
    "timezone",
    "mime.types",
    "services",
    "protocols",
    "os-release",
    "magic",
    "python3",
];

/// Bytes.
const COPIED: u64 = 256 << 10;

pub(super) const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// One thing at one place inside (relative to the new root).
#[derive(Debug)]
pub(super) enum Shown {
    Tree { source: PathBuf, at: PathBuf },
    Link { to: PathBuf, at: PathBuf },
    Text { text: Vec<u8>, at: PathBuf },
}

/// Everything that is looked at to decide what is shown and how.
pub(super) fn copied() -> impl Iterator<Item = PathBuf> {
    TOOLS.iter().map(PathBuf::from).chain(ETC.iter().map(|name| Path::new("/etc").join(name)))
}

pub(super) fn shown(hostname: &str, host_network: bool) -> Vec<Shown> {
    let etc = ETC.iter().map(|name| Path::new("/etc").join(name));
    let mut all: Vec<_> = TOOLS.iter().map(PathBuf::from).chain(etc).filter_map(|path| as_it_is(&path)).collect();
    all.extend(made_up(hostname).into_iter().map(|(at, text)| Shown::Text { text: text.into_bytes(), at: at.into() }));
    if host_network {
        all.extend(fs::read("/etc/resolv.conf").ok().map(|text| Shown::Text { text, at: "etc/resolv.conf".into() }));
    }
    all
}

fn as_it_is(source: &Path) -> Option<Shown> {
    let at = source.strip_prefix("/").ok()?.to_path_buf();
    let kind = fs::symlink_metadata(source).ok()?;
    if kind.is_symlink() {
        return Some(Shown::Link { to: fs::read_link(source).ok()?, at });
    }
    // A small file is copied: a mount of its own would cost more.
    if kind.is_file() && kind.len() <= COPIED {
        return fs::read(source).ok().map(|text| Shown::Text { text, at });
    }
    Some(Shown::Tree { source: source.to_path_buf(), at })
}

fn made_up(hostname: &str) -> [(&'static str, String); 5] {
    let (uid, home) = (INNER_UID, INNER_HOME);
    [
        (
            "etc/passwd",
            format!("root:x:0:0:root:/:/bin/false\ntidegate:x:{uid}:{uid}:Tidegate:{home}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        ),
        ("etc/group", format!("root:x:0:\ntidegate:x:{uid}:\nnogroup:x:65534:\n")),
        ("etc/hosts", format!("127.0.0.1 localhost {hostname}\n::1 localhost\n")),
        ("etc/hostname", format!("{hostname}\n")),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n".to_owned()),
    ]
}
