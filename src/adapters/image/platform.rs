//! For which machine an image is made, and which of several is for this one.

use oci_client::manifest::ImageIndexEntry;

/// This machine's, as images say it.
pub(super) fn own() -> (&'static str, &'static str) {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    ("linux", architecture)
}

pub(super) fn shown((os, architecture): (&str, &str)) -> String {
    format!("{os}/{architecture}")
}

/// The one for this machine; `Err` with those that there are.
pub(super) fn choose(entries: &[ImageIndexEntry]) -> Result<&ImageIndexEntry, String> {
    let of = |entry: &ImageIndexEntry| entry.platform.as_ref().map(|found| (found.os.to_string(), found.architecture.to_string()));
    let (os, architecture) = own();
    let fits = |entry: &&ImageIndexEntry| of(entry).is_some_and(|(one, other)| one == os && other == architecture);
    entries.iter().find(fits).ok_or_else(|| {
        // `unknown`: notes about the others, not images.
        let all = entries.iter().filter_map(of).filter(|(os, _)| os != "unknown").map(|(os, architecture)| shown((&os, &architecture)));
        let all: Vec<String> = all.take(10).collect();
        if all.is_empty() { "no machine that it names".to_owned() } else { super::error::said(all.join(", ")) }
    })
}
