//! What a hostile step may try, tried. Each story runs a real sandbox and looks at what came of the attempt from both sides.

mod support;

mod basics;
mod bombs;
mod egress;
mod host;
mod kernel;
mod survivors;
mod users;
mod walls;
