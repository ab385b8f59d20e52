//! Printing that outlives its reader: `tidegate … | head -1` closes the pipe, and that is no reason to panic or to end otherwise.
//!
//! Colours are taken out where they do not belong (pipes, NO_COLOR, `--color never`).

macro_rules! line_out {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stdout(), $($text)*);
    }};
}

macro_rules! line_err {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stderr(), $($text)*);
    }};
}

macro_rules! text_err {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(anstream::stderr(), $($text)*);
    }};
}

macro_rules! text_out {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(anstream::stdout(), $($text)*);
    }};
}

pub(super) use line_err as eprintln;
pub(super) use line_out as println;
pub(super) use text_err as eprint;
pub(super) use text_out as print;
