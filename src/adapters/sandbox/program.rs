//! Which binary the nursery is: this one, unless a test says otherwise (a test binary has no `sandbox-init`).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Use this tidegate binary as the nursery. The first call counts.
pub fn set_program(path: impl Into<PathBuf>) {
    let _ = PROGRAM.set(path.into());
}

/// `/proc/self/exe` goes on meaning this binary when the file was replaced while it ran.
pub(super) fn program() -> &'static Path {
    PROGRAM.get().map_or(Path::new("/proc/self/exe"), PathBuf::as_path)
}

/// The binary as a file that can be shown inside; `None` when it was replaced or removed since.
pub fn program_file() -> Option<PathBuf> {
    PROGRAM.get().cloned().or_else(|| std::env::current_exe().ok()).filter(|path| path.is_file())
}
