//! `tidegate scan`: finds secrets in files. Exit code 0: clean, 1: findings, 2: a wrong path or allow list, 4: something could not be read.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::adapters::scan::{Limits, Scan, ScanError, Sighting, scan};
use crate::core::findings::{AllowList, Gate, Secret, Sorted, Verdict, fingerprint};
use crate::model::finding::{Finding, Severity};
use crate::report::{findings, sarif};

use super::args::{Global, ScanArguments, SeverityArgument};
use super::exit::Exit;
use super::print::{eprintln, print};

/// Relative to the folder that is scanned from.
const ALLOW_LIST: &str = ".tidegate/secrets-allow";
/// One more is over the list's own limit.
const MOST_ALLOW_BYTES: u64 = 1 << 20;

pub fn run(global: &Global, arguments: &ScanArguments) -> Exit {
    let base = global.repository.clone().unwrap_or_else(|| PathBuf::from("."));
    let allow = match allow_list(&base) {
        Ok(allow) => allow,
        Err(error) => return fail(&error, Exit::Usage),
    };
    let start = Instant::now();
    let mut scanned = match scan(&base, &arguments.paths, &Limits::default()) {
        Ok(scanned) => scanned,
        Err(error @ ScanError::Rules(_)) => return fail(&error.to_string(), Exit::Infrastructure),
        Err(error) => return fail(&error.to_string(), Exit::Usage),
    };
    let took = start.elapsed();
    let sorted = allow.sort(std::mem::take(&mut scanned.sightings).into_iter().map(finding).collect());

    if let Some(file) = &arguments.sarif
        && let Err(error) = std::fs::write(file, sarif::sarif("tidegate scan", env!("CARGO_PKG_VERSION"), &sorted.found))
    {
        return fail(&format!("the findings could not be written to {}: {error}", file.display()), Exit::Infrastructure);
    }
    let summary = findings::Summary {
        more: scanned.more,
        allowed: sorted.allowed.len(),
        files: scanned.files,
        bytes: scanned.bytes,
        ignored: scanned.ignored,
        took,
    };
    if global.json {
        print_json(&sorted, &scanned, &summary)
    } else {
        print_text(&sorted, &scanned, &summary)
    }

    match (Gate { fail: severity(arguments.fail) }).judge(&sorted.found) {
        Verdict::Fail { .. } => Exit::Failed,
        // Those past the limit were not judged.
        Verdict::Pass { .. } if scanned.more > 0 => Exit::Failed,
        Verdict::Pass { .. } if !scanned.unscanned.is_empty() => Exit::Infrastructure,
        Verdict::Pass { .. } => Exit::Success,
    }
}

fn allow_list(base: &Path) -> Result<AllowList, String> {
    let file = base.join(ALLOW_LIST);
    // A link to something without an end is read no further than a list may be long.
    let read = std::fs::File::open(&file).and_then(|file| {
        let mut text = String::new();
        file.take(MOST_ALLOW_BYTES + 1).read_to_string(&mut text).map(|_| text)
    });
    let text = match read {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(AllowList::default()),
        Err(error) => return Err(format!("{ALLOW_LIST} could not be read: {error}")),
    };
    AllowList::parse(&text).map_err(|error| format!("{ALLOW_LIST}: {error}"))
}

fn finding(sighting: Sighting) -> Finding {
    let Sighting { rule, title, severity, sure, path, line, column, digest } = sighting;
    let secret = if sure { Secret::Token(&digest) } else { Secret::Guessable(&digest) };
    Finding { fingerprint: fingerprint(&rule, &path, secret), rule, severity, message: title, path, line, column }
}

fn severity(argument: SeverityArgument) -> Severity {
    match argument {
        SeverityArgument::Low => Severity::Low,
        SeverityArgument::Medium => Severity::Medium,
        SeverityArgument::High => Severity::High,
        SeverityArgument::Critical => Severity::Critical,
    }
}

fn print_text(sorted: &Sorted, scanned: &Scan, summary: &findings::Summary) {
    let mut text = findings::listing(&sorted.found);
    for (path, why) in &scanned.unscanned {
        text.push_str(&format!("not scanned: {path} ({why})\n"));
    }
    // The list is part of what is scanned: what it lets through is said, so that nobody lets his own finding through unseen.
    for finding in &sorted.allowed {
        text.push_str(&format!("allowed: {} {}:{}:{} ({})\n", finding.rule, finding.path, finding.line, finding.column, finding.fingerprint));
    }
    for line in &sorted.unused {
        text.push_str(&format!("{ALLOW_LIST}:{line}: allows nothing that is there: remove the line\n"));
    }
    text.push_str(&findings::summary(sorted.found.len(), summary));
    text.push('\n');
    if !sorted.found.is_empty() {
        text.push_str("A secret that was committed is known: revoke it, then remove it. For a false alarm add `FINGERPRINT # why` to ");
        text.push_str(ALLOW_LIST);
        text.push_str(".\n");
    }
    print!("{text}");
}

fn print_json(sorted: &Sorted, scanned: &Scan, summary: &findings::Summary) {
    let mut text = String::new();
    for finding in &sorted.found {
        text.push_str(&format!("{}\n", serde_json::json!({ "finding": finding })));
    }
    for finding in &sorted.allowed {
        text.push_str(&format!("{}\n", serde_json::json!({ "allowed": finding })));
    }
    for (path, why) in &scanned.unscanned {
        text.push_str(&format!("{}\n", serde_json::json!({ "unscanned": { "path": path, "why": why } })));
    }
    let findings::Summary { more, allowed, files, bytes, ignored, took } = summary;
    let count = sorted.found.len();
    let line = serde_json::json!({ "summary": {
        "findings": count, "more": more, "allowed": allowed, "files": files, "bytes": bytes, "ignored": ignored, "took_ms": took.as_millis() as u64,
    }});
    text.push_str(&format!("{line}\n"));
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn fail(message: &str, exit: Exit) -> Exit {
    eprintln!("error: {message}");
    exit
}
