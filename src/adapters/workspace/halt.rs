//! Work that takes long is asked again and again whether anybody still wants it.

use std::io::{self, Read};

/// Whether nobody wants it any more.
#[derive(Clone, Copy)]
pub struct Halt<'a>(pub &'a dyn Fn() -> bool);

impl std::fmt::Debug for Halt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Halt")
    }
}

/// What stops it, as an error among those of files.
#[derive(Debug, thiserror::Error)]
#[error("it was stopped")]
struct Halted;

/// Whether this error is none of files: nobody wanted it any more.
pub fn is_halted(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Halted>())
}

impl<'a> Halt<'a> {
    /// For what is short, or has nobody who could ask.
    pub const NEVER: Halt<'static> = Halt(&|| false);

    pub fn check(self) -> io::Result<()> {
        if (self.0)() { Err(io::Error::other(Halted)) } else { Ok(()) }
    }

    /// The same bytes, as long as somebody wants them.
    pub fn reading<R: Read>(self, inner: R) -> impl Read + use<'a, R> {
        Wanted { inner, halt: self }
    }
}

struct Wanted<'a, R> {
    inner: R,
    halt: Halt<'a>,
}

impl<R: Read> Read for Wanted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.halt.check()?;
        self.inner.read(buffer)
    }
}
